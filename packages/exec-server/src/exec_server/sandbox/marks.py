"""Mount points for what does not exist: put into a writable folder, and taken away again.

To keep a name from being created, something must be mounted there, and a mount needs
something to cover. So an empty folder or file is made under that name, as briefly as
possible: people and programs outside see it. Its mode is one that nobody else uses, and
tells it from a real one, also when a server was killed and left it behind.

Removing it would lift the mount in every sandbox that has it. Whoever needs it holds a
shared lock; only who gets the exclusive lock, the last one, removes it. The locks belong
to the folder itself, so that several servers agree without knowing of each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from typing import Final

from .errors import PolicyNotEnforceableError

__all__ = ["Marks", "is_mark"]

_FOLDER_MODE: Final = 0o1555
_FILE_MODE: Final = 0o1400
_ATTEMPTS: Final = 100
"""Times to try again while another server takes the same one away, a millisecond apart."""


def is_mark(path: bytes, status: os.stat_result) -> bool:
    """Return whether this is such a mount point, and not something of the user's."""
    if not status.st_mode & stat.S_ISVTX or status.st_uid != os.geteuid():
        return False
    # A umask takes bits away, a folder may hand down its group: neither touches these.
    mode = status.st_mode & (0o170000 | stat.S_ISVTX | 0o700)
    if mode == stat.S_IFREG | _FILE_MODE:
        return status.st_size == 0
    if mode != stat.S_IFDIR | _FOLDER_MODE & 0o1700 or status.st_mode & 0o022:
        return False
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


class Marks:
    """The mount points that this server needs now. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[bytes, tuple[int, int]] = {}

    def hold(self, path: bytes, *, folder: bool) -> None:
        """Make sure that there is one until ``release``.

        Raises:
            PolicyNotEnforceableError: Something else is there, or it cannot be made.
        """
        with self._lock:
            held = self._held.get(path)
            if held is not None and _is_same(path, held[0]):
                self._held[path] = (held[0], held[1] + 1)
                return
            descriptor = _acquire(path, folder)
            if held is not None:
                # Somebody took it away. Those who hold the old one keep the count.
                os.close(held[0])
            self._held[path] = (descriptor, 1 if held is None else held[1] + 1)

    def release(self, path: bytes) -> None:
        """Let go of it; the last one takes it away."""
        with self._lock:
            descriptor, count = self._held[path]
            if count > 1:
                self._held[path] = (descriptor, count - 1)
                return
            del self._held[path]
            try:
                _remove(path, descriptor)
            finally:
                os.close(descriptor)


def _is_same(path: bytes, descriptor: int) -> bool:
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _acquire(path: bytes, folder: bool) -> int:
    for _ in range(_ATTEMPTS):
        try:
            _make(path, folder)
            flags = os.O_DIRECTORY if folder else 0
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PolicyNotEnforceableError(
                f"cannot protect a missing path of the sandbox policy: "
                f"{os.strerror(error.errno or 0)}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is_same(path, descriptor):
                if is_mark(path, os.fstat(descriptor)):
                    return descriptor
                raise PolicyNotEnforceableError(
                    "a path of the sandbox policy appears while the sandbox is set up"
                )
        except BlockingIOError:
            time.sleep(0.001)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise PolicyNotEnforceableError("a path of the sandbox policy comes and goes")


def _make(path: bytes, folder: bool) -> None:
    # Made with its mode in one step: before a second one it would look like somebody's own.
    with contextlib.suppress(FileExistsError):
        if folder:
            os.mkdir(path, _FOLDER_MODE)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(path, flags, _FILE_MODE))


def _remove(path: bytes, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another server's sandbox needs it, and will take it away
    if not _is_same(path, descriptor) or not is_mark(path, os.fstat(descriptor)):
        return
    # Not ours to insist: somebody may have begun to use it.
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)
