"""The kernel's notices of changes to files and folders, as a queue that is read without waiting.

The standard library has no such thing. A notice is in the queue before the system call that
made the change returns.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["Inotify", "Notice"]

_EVENT: Final = struct.Struct("iIII")
_EVENT_BYTES_MAX: Final = _EVENT.size + 256
_READ_BYTES: Final = 64 * 1024
"""At once: two thousand events, two milliseconds."""

Notice = tuple[int, bytes]
"""The number of what is watched, -1 for "some were lost"; and a name in it, if it has one."""


class Inotify:
    """One queue. ``add`` and ``remove`` may block on a file system, ``read`` never does.

    Raises:
        OSError: This system has no such thing, or no more of it.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        try:
            self._add, self._remove = library.inotify_add_watch, library.inotify_rm_watch
            start = library.inotify_init1
        except AttributeError as error:
            raise OSError("this system does not tell of changes") from error
        self._fd: int = start(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def fileno(self) -> int:
        """Return the descriptor, readable when there are notices; -1 once closed."""
        return self._fd

    def add(self, path: bytes, mask: int) -> int:
        """Watch what a path names. Returns its number, the same each time; -1 if not possible."""
        number: int = self._add(self._fd, path, mask)
        return number

    def remove(self, number: int) -> None:
        """Remove a watch. Does nothing when it is gone already."""
        if self._fd >= 0:
            self._remove(self._fd, number)

    def read(self) -> Iterator[Notice]:
        """Yield what there is; when there may be more than is read at once, some count as lost."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, _, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            yield number, data[at : at + length].rstrip(b"\0")
            at += length
        if len(data) > _READ_BYTES - _EVENT_BYTES_MAX:
            yield -1, b""

    def close(self) -> None:
        """Watch nothing any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
