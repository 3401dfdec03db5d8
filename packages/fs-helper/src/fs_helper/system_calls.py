"""System calls that Python 3.11 has no function for, through ctypes.

ctypes takes longer to import than the rest of the helper together, so it is loaded by the
first call that needs it. Where a call does not exist, the answer is ``None``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from sys import byteorder
from typing import Any, Final

__all__ = ["birth_time_ms", "rename_no_replace"]

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_STATX_MASK: Final = slice(0, 4)
_STATX_BTIME_SECONDS: Final = slice(80, 88)
_STATX_BTIME_NANOSECONDS: Final = slice(88, 92)
"""Places in ``struct statx``, which is the same on every architecture."""
_RENAME_NOREPLACE: Final = 1


def birth_time_ms(path: bytes, *, fd: int | None = None) -> int:
    """Return when a file was made, in ms since 1970; 0 when that is unknown.

    Args:
        path: Links are followed. Ignored with ``fd``.
        fd: An open file, ``O_PATH`` will do.
    """
    statx, answer = _function("statx"), _statx_answer()
    if statx is None or answer is None:
        return 0
    if fd is None:
        failed = statx(_AT_FDCWD, path, 0, _STATX_BTIME, answer[0])
    else:
        failed = statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer[0])
    raw = answer[1]
    if failed or not int.from_bytes(raw[_STATX_MASK], byteorder) & _STATX_BTIME:
        return 0
    seconds = int.from_bytes(raw[_STATX_BTIME_SECONDS], byteorder, signed=True)
    nanoseconds = int.from_bytes(raw[_STATX_BTIME_NANOSECONDS], byteorder)
    return max(0, seconds * 1000 + nanoseconds // 1_000_000)


def rename_no_replace(source: bytes, destination: bytes) -> bool | None:
    """Rename unless the destination exists.

    Returns:
        ``None`` when neither the system nor the file system can do this; nothing happened.

    Raises:
        OSError: As the system says; ``EEXIST``, ``EXDEV`` among others.
    """
    renameat2 = _function("renameat2")
    if renameat2 is None:
        return None
    import ctypes
    import errno

    if renameat2(_AT_FDCWD, source, _AT_FDCWD, destination, _RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return None  # EINVAL is also a directory moved into itself: the plain rename will say
    raise OSError(number, "")


@cache
def _function(name: str) -> Callable[..., int] | None:
    try:
        import ctypes

        return getattr(ctypes.CDLL(None, use_errno=True), name, None)
    except (ImportError, OSError):
        return None  # a Python without ctypes


@cache
def _statx_answer() -> tuple[Any, bytearray] | None:
    """Return the memory that statx writes to, as ctypes and as Python see it: one thread."""
    try:
        import ctypes
    except ImportError:
        return None
    memory = bytearray(_STATX_BYTES)
    return (ctypes.c_char * _STATX_BYTES).from_buffer(memory), memory
