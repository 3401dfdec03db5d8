"""Open files: ``fs/open``, ``fs/readBlock``, ``fs/writeBlock``, ``fs/close``."""

from __future__ import annotations

import errno
import fcntl
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
from .params import Params, file_mode, flag, natural, path_of, text
from .regular import open_for_reading, open_for_writing, truncate

__all__ = ["Handles"]

_OFFSET_MAX: Final = 2**63 - 1
"""Largest offset of the system: a signed integer of 64 bits."""

_FLAGS: Final = {
    "replace": os.O_WRONLY | os.O_CREAT,
    "update": os.O_WRONLY | os.O_CREAT,
    "create": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "extend": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "modify": os.O_RDWR,
}
"""How files are opened that are written to."""

_LOCK_TRIES: Final = 4
"""A lock on a file that has just got another name is worth nothing: so often there is a new one."""


class Handles:
    """The open files of one worker, by the id that the server gave them.

    A file stays the one that was opened, whatever happens to its path.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._opened: int | None = None
        self._writers: set[str] = set()
        self._appenders: set[str] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, params: Params) -> bytes:
        """Open a file. Return the text for ``fs/open``.

        ``replace`` empties the file at once, ``update`` keeps what it holds, ``extend`` goes on
        at its end: all make a file that is missing. ``create`` makes one that must be missing,
        ``modify`` reads and writes one that must not. With ``lock`` nobody else has it locked.

        Nothing is touched when the handle is refused.

        Raises:
            OperationError: The id is too long or in use, too many are open, or it is not a
                regular file.
            OSError: As the system says; ``EAGAIN`` for a lock that somebody else has.
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
        elif mode in _FLAGS:
            fd = _open_to_write(path, mode, params)
        else:
            raise OperationError(INVALID_PARAMS, f"mode is none of read, {', '.join(_FLAGS)}")
        self._open[handle_id] = fd
        self._opened = fd if mode == "read" else None
        if mode != "read":
            self._writers.add(handle_id)
        if mode == "extend":
            self._appenders.add(handle_id)
        return dump({"handleId": handle_id})

    def take_opened(self) -> int | None:
        """Return the file that has just been opened for reading: the server may get it, too."""
        opened, self._opened = self._opened, None
        return opened

    def read_block(self, params: Params) -> BulkPieces:
        """Produce the bytes for ``fs/readBlock``: fewer than were asked for if there are no more.

        Raises:
            OperationError: A length outside 1 to 1 MiB, an unknown handle, an offset that no
                file has; the last closes the handle, as does an error from reading.
            OSError: As the system says; ``EBADF`` for one that only writes. A handle that
                writes stays open. One from reading may come after the first pieces.
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
        except (OperationError, OSError):
            # What is written may still be: whoever writes finds out about the rest by itself.
            if handle_id not in self._writers:
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
            if handle_id in self._appenders:  # not every system overlooks an offset then
                written = os.write(fd, view)
            else:
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
        """Close everything. Errors are ignored: nobody waits for them."""
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
        self._writers.discard(handle_id)
        self._appenders.discard(handle_id)
        fd = self._open.pop(handle_id, None)
        if fd is not None:
            with suppress(OSError):  # the descriptor is gone all the same
                os.close(fd)


def _open_to_write(path: bytes, mode: str, params: Params) -> int:
    create_mode = file_mode(params, "createMode")
    lock = flag(params, "lock", default=False)
    for _ in range(_LOCK_TRIES):
        fd = open_for_writing(path, flags=_FLAGS[mode], mode=create_mode)
        try:
            if lock:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not lock or _is_at(path, fd):
                if mode == "replace":
                    truncate(fd)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # whoever had the lock gave the file another name
    raise BlockingIOError(errno.EAGAIN, "")


def _is_at(path: bytes, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _read_at(fd: int, buffer: memoryview, offset: int) -> int:
    """Read until ``buffer`` is full or the file ends; return how much came."""
    count = 0
    while count < len(buffer):
        got = os.preadv(fd, [buffer[count:]], offset + count)
        if not got:
            break
        count += got
    return count
