"""Open files: ``fs/open``, ``fs/readBlock``, ``fs/writeBlock``, ``fs/close``."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from exec_server_protocol.errors import INVALID_PARAMS, INVALID_REQUEST, NOT_FOUND
from exec_server_protocol.limits import (
    FILE_BLOCK_MAX_BYTES,
    FILE_HANDLE_ID_MAX_BYTES,
    FILE_HANDLES_PER_CONNECTION,
)

from .answers import BUFFER, EMPTY, BulkPieces, dump
from .errors import OperationError, from_errno
from .params import Params, natural, path_of, text
from .regular import open_for_reading, open_for_writing, truncate

__all__ = ["Handles"]

_OFFSET_MAX: Final = 2**63 - 1
"""Largest offset of the system: a signed integer of 64 bits."""


class Handles:
    """The open files of one worker, by the id that the server gave them.

    A file stays the one that was opened, whatever happens to its path.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._opened: int | None = None

    def __len__(self) -> int:
        return len(self._open)

    def open(self, params: Params) -> bytes:
        """Open a file. Return the text for ``fs/open``.

        ``replace`` empties the file at once; ``update`` keeps what it holds. Both make a file
        that is missing.

        Nothing is touched when the handle is refused.

        Raises:
            OperationError: The id is too long or in use, too many are open, or it is not a
                regular file.
            OSError: As the system says.
        """
        handle_id = self._id(params)
        if handle_id in self._open:
            raise OperationError(INVALID_REQUEST, "a file handle with this id is open already")
        if len(self._open) >= FILE_HANDLES_PER_CONNECTION:
            raise OperationError(
                INVALID_REQUEST, f"at most {FILE_HANDLES_PER_CONNECTION} file handles may be open"
            )
        mode = params.get("mode", "read")
        path = path_of(params)
        if mode == "read":
            fd, _size = open_for_reading(path)
        elif mode in ("replace", "update"):
            fd = open_for_writing(path)
            try:
                if mode == "replace":
                    truncate(fd)
            except BaseException:
                os.close(fd)
                raise
        else:
            raise OperationError(INVALID_PARAMS, "mode is none of read, replace and update")
        self._open[handle_id] = fd
        self._opened = fd if mode == "read" else None
        return dump({"handleId": handle_id})

    def take_opened(self) -> int | None:
        """Return the file that has just been opened for reading: whoever asked may get it, too."""
        opened, self._opened = self._opened, None
        return opened

    def read_block(self, params: Params) -> BulkPieces:
        """Produce the bytes for ``fs/readBlock``: fewer than were asked for if there are no more.

        Raises:
            OperationError: A length outside 1 to 1 MiB, an unknown handle, an offset that no
                file has; the last closes the handle, as does an error from reading.
            OSError: As the system says; ``EBADF``, which keeps the handle, for one that
                writes. One from reading may come after the first pieces.
        """
        handle_id, offset, length = self._id(params), natural(params, "offset"), params.get("len")
        if type(length) is not int or not 1 <= length <= FILE_BLOCK_MAX_BYTES:
            raise OperationError(
                INVALID_REQUEST, f"the length of a block is 1 to {FILE_BLOCK_MAX_BYTES} bytes"
            )
        fd = self._fd(handle_id)
        try:
            if offset + length > _OFFSET_MAX:
                raise from_errno(errno.EINVAL)
            while True:
                piece = BUFFER[:length]
                count = _read_at(fd, piece, offset)
                length -= count
                if not length or count < len(piece):
                    return piece[:count]
                yield piece
                offset += count
        except (OperationError, OSError) as error:
            if getattr(error, "errno", None) != errno.EBADF:
                self._drop(handle_id)
            raise

    def write_block(self, params: Params, data: bytearray) -> bytes:
        """Write at an offset and return the JSON text of the answer to ``fs/writeBlock``.

        A gap before the block becomes zeros. Errors keep the handle.

        Raises:
            OperationError: A length outside 1 to 1 MiB, a range beyond the largest offset,
                an unknown handle.
            OSError: As the system says; ``EBADF`` for a handle that reads.
        """
        handle_id, offset = self._id(params), natural(params, "offset")
        length = len(data)
        if not 1 <= length <= FILE_BLOCK_MAX_BYTES:
            raise OperationError(
                INVALID_REQUEST, f"the length of a block is 1 to {FILE_BLOCK_MAX_BYTES} bytes"
            )
        if offset + length > _OFFSET_MAX:
            raise OperationError(INVALID_REQUEST, "the block ends beyond the largest file offset")
        fd = self._fd(handle_id)
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            view, offset = view[written:], offset + written
        return EMPTY

    def close(self, params: Params) -> bytes:
        """Close a file and return the text for ``fs/close``; an unknown id is no error.

        Raises:
            OperationError: The id is too long.
        """
        self._drop(self._id(params))
        return EMPTY

    def close_all(self) -> None:
        """Close everything; nobody is told about errors any more."""
        for handle_id in list(self._open):
            self._drop(handle_id)

    def _id(self, params: Params) -> str:
        handle_id = text(params, "handleId")
        if len(handle_id.encode("utf-8", "surrogatepass")) > FILE_HANDLE_ID_MAX_BYTES:
            raise OperationError(
                INVALID_REQUEST, f"a file handle id has at most {FILE_HANDLE_ID_MAX_BYTES} bytes"
            )
        return handle_id

    def _fd(self, handle_id: str) -> int:
        fd = self._open.get(handle_id)
        if fd is None:
            raise OperationError(NOT_FOUND, "unknown file handle")
        return fd

    def _drop(self, handle_id: str) -> None:
        fd = self._open.pop(handle_id, None)
        if fd is not None:
            with suppress(OSError):  # the descriptor is gone all the same
                os.close(fd)


def _read_at(fd: int, buffer: memoryview, offset: int) -> int:
    """Read until ``buffer`` is full or the file ends; return how much came."""
    count = 0
    while count < len(buffer):
        got = os.preadv(fd, [buffer[count:]], offset + count)
        if not got:
            break
        count += got
    return count
