"""Whole files: ``fs/readFile`` and ``fs/writeFile``."""

from __future__ import annotations

import os
import stat
from typing import Final

from exec_server_protocol.errors import INVALID_REQUEST
from exec_server_protocol.limits import READ_FILE_MAX_BYTES

from .answers import BUFFER, EMPTY, BulkPieces
from .atomic import replace
from .attributes import attributes_of
from .errors import OperationError
from .params import Params, flag, path_of
from .regular import open_for_reading, open_for_writing, truncate, write_all

__all__ = ["read_file", "write_file"]

_OVERWRITE_MAX_BYTES: Final = 1024 * 1024
"""What is written over the old content at once; before more of it the file is emptied."""


def read_file(params: Params) -> BulkPieces:
    """Produce the bytes for ``fs/readFile``.

    Never holds more than one piece. The file is read to its end, whatever its size is said to
    be: procfs says 0.

    Raises:
        OperationError: Not a regular file, or more than 512 MiB; the latter is known from
            the size before anything is yielded, unless the file grows while it is read.
        OSError: As the system says. One from reading may come after the first pieces.
    """
    fd, size = open_for_reading(
        path_of(params), follow=flag(params, "followSymlinks", default=True)
    )
    try:
        if size > READ_FILE_MAX_BYTES:
            raise _too_large()
        total = 0
        while True:
            count = _fill(fd, BUFFER)
            total += count
            if total > READ_FILE_MAX_BYTES:
                raise _too_large()
            if count < len(BUFFER):
                return BUFFER[:count]
            yield BUFFER
    finally:
        os.close(fd)


def write_file(params: Params, data: bytearray) -> bytes:
    """Write a whole file and return the JSON text of the answer to ``fs/writeFile``.

    In place: inode, mode, owner and hard links stay, and a reader may see a part, or a part of
    the old content behind it. With ``atomic`` see ``atomic.replace``. ``exclusive`` makes a file
    that must not be there.

    Raises:
        OperationError: Something that cannot be written to, or not in this way.
        OSError: As the system says.
    """
    path = path_of(params)
    follow = flag(params, "followSymlinks", default=True)
    exclusive = flag(params, "exclusive", default=False)
    attributes = attributes_of(params)
    if flag(params, "atomic", default=False):
        replace(
            path,
            data,
            follow=follow,
            exclusive=exclusive,
            attributes=attributes,
            flush=flag(params, "flush", default=True),
        )
        return EMPTY
    fd = open_for_writing(
        path,
        follow=follow,
        special=follow,
        flags=os.O_WRONLY | os.O_CREAT | (os.O_EXCL if exclusive else 0),
        mode=attributes.create_mode if attributes.file_mode is None else attributes.file_mode,
    )
    try:
        if attributes.file_mode is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchmod(fd, attributes.file_mode)  # before there is anything to read
        if data and len(data) <= _OVERWRITE_MAX_BYTES and stat.S_ISREG(os.fstat(fd).st_mode):
            _overwrite(fd, data)
        else:
            truncate(fd)
            write_all(fd, [data])
        if attributes.modified_ns is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            os.utime(fd, ns=(attributes.modified_ns, attributes.modified_ns))
    finally:
        os.close(fd)
    return EMPTY


def _overwrite(fd: int, data: bytearray) -> None:
    """Put ``data`` in place of what a file holds, without an instant at which it is empty.

    Emptying a file first costs 150 µs on ext4, and milliseconds on a busy disk: it is written
    out when it is closed. When the disk is full, the file ends where the new data end.
    """
    written = 0
    view = memoryview(data)
    try:
        while written < len(data):
            written += os.pwrite(fd, view[written:], written)
    finally:
        if os.fstat(fd).st_size > written:
            os.ftruncate(fd, written)


def _fill(fd: int, buffer: memoryview) -> int:
    """Read until ``buffer`` is full or the file ends; return how much came."""
    count = 0
    while count < len(buffer):
        got = os.readv(fd, [buffer[count:]])
        if not got:
            break
        count += got
    return count


def _too_large() -> OperationError:
    return OperationError(
        INVALID_REQUEST, f"file is larger than the limit of {READ_FILE_MAX_BYTES} bytes"
    )
