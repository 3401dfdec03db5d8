"""Opening regular files, and nothing else, without ever waiting for anybody.

Everything is opened with ``O_NONBLOCK``: a FIFO without a peer answers at once, and what was
opened is judged from the descriptor, not from the path, so that it cannot change in between.
For regular files the flag has no effect.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from exec_server_protocol.errors import INVALID_REQUEST

from .errors import OperationError
from .nofollow import open_parent

__all__ = [
    "NEW_FILE_MODE",
    "PRIVATE_MODE",
    "STALLED_AFTER_MS",
    "after",
    "not_regular",
    "open_for_reading",
    "open_for_writing",
    "truncate",
    "write_all",
]

NEW_FILE_MODE: Final = 0o666
"""Before the umask."""

PRIVATE_MODE: Final = 0o600
"""Of a file that gets its own bits when it is complete."""

STALLED_AFTER_MS: Final = 1000
"""How long a FIFO or a terminal may take no byte before a write to it is given up.

Somebody who reads it needs far less, and later requests are waiting."""

_RACES: Final = 8
"""How often a file may be made and removed by others between two looks at it."""

_COMMON: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def not_regular() -> OperationError:
    """Return the error for something that is not a regular file."""
    return OperationError(INVALID_REQUEST, "path is not a regular file")


def open_for_reading(path: bytes, *, follow: bool = True) -> tuple[int, int]:
    """Open a regular file; return its descriptor, which the caller closes, and its size.

    Args:
        path: Absolute.
        follow: Whether links may lie on the way.

    Raises:
        OperationError: It is something else.
        OSError: As the system says; ``ELOOP`` for a link that may not be followed.
    """
    fd = _open(path, os.O_RDONLY, follow=follow)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise not_regular()
    except BaseException:
        os.close(fd)
        raise
    return fd, status.st_size


def open_for_writing(
    path: bytes,
    *,
    follow: bool = True,
    special: bool = False,
    flags: int = os.O_WRONLY | os.O_CREAT,
    mode: int | None = None,
) -> int:
    """Open a file, made if it is missing, without touching its content.

    Args:
        path: Absolute.
        follow: Whether links may lie on the way. A link that leads nowhere is followed too:
            its target is made.
        special: Accept devices, and FIFOs that somebody reads.
        flags: How to open it, where that differs.
        mode: Permission bits of a file that is made, whatever the umask.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OperationError: It is something else.
        OSError: As the system says; ``ENXIO`` for a FIFO that nobody reads.
    """
    fd, made = _open_or_make(path, flags, mode, follow=follow)
    try:
        if made and mode is not None:
            os.fchmod(fd, mode)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            if not special or _is_own_pipe(status):
                raise not_regular()
        elif _is_memory(fd, status):
            raise PermissionError(errno.EACCES, "")
    except BaseException:
        os.close(fd)
        raise
    return fd


def truncate(fd: int) -> None:
    """Empty an open file; devices and FIFOs have nothing to empty."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.ftruncate(fd, 0)


def write_all(fd: int, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
    """Write everything, whatever a single call takes.

    Args:
        fd: Where to.
        pieces: At most 1024, which is what a system takes at once.

    Raises:
        OSError: As the system says; ``EAGAIN`` when the other end of a FIFO takes nothing
            for ``STALLED_AFTER_MS``.
    """
    pending = pieces
    while pending:
        try:
            written = os.writev(fd, pending)
        except BlockingIOError:
            _wait_writable(fd)
            continue
        pending = after(pending, written)


def after(
    pieces: Sequence[bytes | bytearray | memoryview], written: int
) -> Sequence[bytes | bytearray | memoryview]:
    """Return what is left of ``pieces`` when so many bytes of them are done."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return ()


def _open_or_make(path: bytes, flags: int, mode: int | None, *, follow: bool) -> tuple[int, bool]:
    """Return a descriptor, and whether the file was made, which is known with ``mode`` only."""
    if mode is None or not flags & os.O_CREAT:
        return _open(path, flags, follow=follow), False
    # Never wider than it is to be, not for an instant.
    bits = mode & PRIVATE_MODE
    if flags & os.O_EXCL:
        return _open(path, flags, follow=follow, mode=bits), True
    for _ in range(_RACES):
        try:
            return _open(path, flags & ~os.O_CREAT, follow=follow), False
        except FileNotFoundError:
            if follow:
                path = os.path.realpath(path)  # what a link that leads nowhere names
            with suppress(FileExistsError):
                return _open(path, flags | os.O_EXCL, follow=follow, mode=bits), True
    raise FileExistsError(errno.EEXIST, "")


def _open(path: bytes, flags: int, *, follow: bool, mode: int = NEW_FILE_MODE) -> int:
    if follow:
        return os.open(path, flags | _COMMON, mode)
    parent, name = open_parent(path)
    try:
        return os.open(name, flags | os.O_NOFOLLOW | _COMMON, mode, dir_fd=parent)
    finally:
        os.close(parent)


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(STALLED_AFTER_MS):
        raise BlockingIOError(errno.EAGAIN, "")


def _is_own_pipe(status: os.stat_result) -> bool:
    """Whether this is a pipe to the server: writing there would forge answers."""
    identity = status.st_dev, status.st_ino
    for own in (0, 1, 2):
        try:
            stdio = os.fstat(own)
        except OSError:
            continue
        # A terminal or /dev/null is the same device for everybody.
        if not stat.S_ISCHR(stdio.st_mode) and (stdio.st_dev, stdio.st_ino) == identity:
            return True
    return False


def _is_memory(fd: int, status: os.stat_result) -> bool:
    """Whether this is the memory of a process: a regular file, says procfs.

    Writing there would run code with the rights of the helper, or of its neighbours.
    """
    if status.st_nlink != 1 or status.st_size:
        return False
    try:
        if status.st_dev != os.stat("/proc/self/mem").st_dev:
            return False
        return os.readlink(f"/proc/self/fd/{fd}").endswith("/mem")
    except OSError:
        return False
