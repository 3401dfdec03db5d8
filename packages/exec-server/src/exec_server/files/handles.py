"""The open files of one connection: which worker has which.

A file stays in the worker that opened it, whatever the plan of later requests is: the
policy was asked when it was opened. So that worker lives as long as the handle.
"""

from __future__ import annotations

from exec_server_protocol.errors import InvalidRequestError, NotFoundError
from exec_server_protocol.limits import FILE_HANDLE_ID_MAX_BYTES

from ..workers.held_files import HeldFile
from ..workers.worker import Worker

__all__ = ["Handle", "HandleTable", "check_handle_id"]


def check_handle_id(handle_id: str) -> None:
    """Refuse an id that is too long.

    Raises:
        InvalidRequestError: It is.
    """
    if len(handle_id) * 4 > FILE_HANDLE_ID_MAX_BYTES < len(handle_id.encode()):
        raise InvalidRequestError(
            f"file handle ID must not exceed {FILE_HANDLE_ID_MAX_BYTES} bytes"
        )


class Handle:
    """An open file, or one whose opening is under way.

    Attributes:
        number: What the worker calls it. Ids of clients could meet those of an earlier
            connection of the same session, whose files are being closed.
        worker: Who has it.
        writes: It was opened for writing.
        file: The same file, held here; closed when the handle is removed.
    """

    __slots__ = ("file", "number", "worker", "writes")

    def __init__(self, number: int, worker: Worker, *, writes: bool) -> None:
        self.number = number
        self.worker = worker
        self.writes = writes
        self.file: HeldFile | None = None


class HandleTable:
    """Handles by the client's id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._handles: dict[str, Handle] = {}

    def __len__(self) -> int:
        return len(self._handles)

    def check_free(self, handle_id: str) -> None:
        """Refuse an id that is taken, or one more handle than there may be.

        Raises:
            InvalidRequestError: Nothing has been opened.
        """
        if handle_id in self._handles:
            raise InvalidRequestError(f"file handle `{handle_id}` already exists")
        if len(self._handles) >= self._limit:
            raise InvalidRequestError(
                f"at most {self._limit} file handles may be open per connection"
            )

    def add(self, handle_id: str, handle: Handle) -> None:
        """Enter a handle; its worker is kept."""
        self._handles[handle_id] = handle
        handle.worker.pins += 1

    def get(self, handle_id: str) -> Handle:
        """Return a handle.

        Raises:
            NotFoundError: There is none, or its worker has ended.
        """
        handle = self._handles.get(handle_id)
        if handle is None:
            raise NotFoundError(f"unknown file handle `{handle_id}`")
        if not handle.worker.usable:
            raise NotFoundError(f"file handle `{handle_id}` was lost: its file helper has ended")
        return handle

    def find(self, handle_id: str) -> Handle | None:
        """Return a handle if there is one."""
        return self._handles.get(handle_id)

    def remove(self, handle_id: str) -> Handle | None:
        """Remove a handle and release its worker."""
        handle = self._handles.pop(handle_id, None)
        if handle is not None:
            handle.worker.pins -= 1
            if handle.file is not None:
                handle.file.close()
        return handle

    def remove_all(self) -> list[Handle]:
        """Remove every handle."""
        return [handle for name in list(self._handles) if (handle := self.remove(name))]
