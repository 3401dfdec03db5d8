"""Mount points for what does not exist: put into a writable folder, and taken away again.

To keep a name from being created, something must be mounted there, and a mount needs
something to cover. So an empty folder or file is made under that name, as briefly as
possible: people and programs outside see it. Its mode is one that nobody else uses, and
tells it from a real one, also when a server was killed and left it behind.

Removing it would lift the mount in every sandbox that has it. Whoever needs it holds a
shared lock; only who gets the exclusive lock, the last one, removes it. The locks belong
to the folder itself, so that several servers agree without knowing of each other.

The server is not confined, and makes these where a path leads that somebody inside may be
rearranging. So no link is followed on the way, and what was made is taken away from the very
folder that it was made in, whatever that is called by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from dataclasses import dataclass
from typing import Final

from .errors import PolicyNotEnforceableError
from .journal import Journal
from .walking import open_without_links

__all__ = [
    "Placeholder",
    "Placeholders",
    "is_placeholder",
    "is_there",
    "looks_like_placeholder",
    "take_away",
]

_FOLDER_MODE: Final = 0o1555
_FILE_MODE: Final = 0o1400
_ATTEMPTS: Final = 100
"""Times to try again while another server takes the same one away, a millisecond apart."""


def is_placeholder(path: bytes, status: os.stat_result) -> bool:
    """Return whether this is such a mount point, and not something of the user's."""
    return _is_mark(path, status)


def looks_like_placeholder(status: os.stat_result) -> bool:
    """Return whether this would be a placeholder if there were nothing in it."""
    if not status.st_mode & stat.S_ISVTX or status.st_uid != os.geteuid():
        return False
    # A umask takes bits away, a folder may hand down its group: neither touches these.
    mode = status.st_mode & (0o170000 | stat.S_ISVTX | 0o700)
    if mode == stat.S_IFREG | _FILE_MODE:
        return True
    return mode == stat.S_IFDIR | _FOLDER_MODE & 0o1700 and not status.st_mode & 0o022


def _is_mark(place: bytes | int, status: os.stat_result) -> bool:
    if not looks_like_placeholder(status):
        return False
    if stat.S_ISREG(status.st_mode):
        return status.st_size == 0
    try:
        with os.scandir(place) as entries:
            return next(entries, None) is None
    except OSError:
        return False


Placeholder = tuple[int, int, bytes]
"""Device and inode of the folder that it is in, and its name there."""


@dataclass(slots=True)
class _Held:
    folder: int
    descriptor: int
    count: int
    path: bytes


class Placeholders:
    """The mount points that this server needs now. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Placeholder, _Held] = {}
        self._journal = Journal()

    def hold(self, path: bytes, *, folder: bool) -> Placeholder:
        """Make sure that there is one at a resolved path, until ``release``.

        Raises:
            PolicyNotEnforceableError: Something else is there, or it cannot be made.
        """
        with self._lock:
            try:
                above = open_without_links(path[: path.rfind(b"/")], os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise _problem(path, error) from error
            name = path[path.rfind(b"/") + 1 :]
            status = os.fstat(above)
            placeholder = status.st_dev, status.st_ino, name
            held = self._held.get(placeholder)
            try:
                if held is not None and _is_same(held.folder, name, held.descriptor):
                    os.close(above)
                    held.count += 1
                    return placeholder
                self._journal.note(path, lambda: [one.path for one in self._held.values()])
                descriptor = _acquire(above, name, folder, path)
            except BaseException:
                os.close(above)
                raise
            if held is None:
                self._held[placeholder] = _Held(above, descriptor, 1, path)
            else:
                # Somebody took it away. Those who hold the old one keep the count.
                os.close(above)
                os.close(held.descriptor)
                held.descriptor = descriptor
                held.count += 1
            return placeholder

    def release(self, placeholder: Placeholder) -> None:
        """Release a placeholder; the last holder removes it from the disk."""
        with self._lock:
            held = self._held[placeholder]
            held.count -= 1
            if held.count:
                return
            del self._held[placeholder]
            try:
                _remove(held.folder, placeholder[2], held.descriptor)
            finally:
                os.close(held.descriptor)
                os.close(held.folder)
                if not self._held:
                    self._journal.forget()


def take_away(path: bytes) -> None:
    """Remove a placeholder that a server has left behind, if it is one and is not in use."""
    with contextlib.suppress(OSError):
        above = open_without_links(path[: path.rfind(b"/")] or b"/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            name = path[path.rfind(b"/") + 1 :]
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=above)
            try:
                _remove(above, name, descriptor)
            finally:
                os.close(descriptor)
        finally:
            os.close(above)


def _problem(path: bytes, error: OSError) -> PolicyNotEnforceableError:
    return PolicyNotEnforceableError(
        "cannot protect a missing path of the sandbox policy: "
        f"{os.strerror(error.errno or 0)}: {os.fsdecode(path)}"
    )


def _is_same(folder: int, name: bytes, descriptor: int) -> bool:
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _acquire(above: int, name: bytes, folder: bool, path: bytes) -> int:
    kind = os.O_DIRECTORY if folder else 0
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | kind
    for _ in range(_ATTEMPTS):
        try:
            _make(above, name, folder)
            descriptor = os.open(name, flags, dir_fd=above)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _problem(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is_same(above, name, descriptor):
                if _is_mark(descriptor, os.fstat(descriptor)):
                    return descriptor
                raise PolicyNotEnforceableError(
                    "a path of the sandbox policy appears while the sandbox is set up: "
                    f"{os.fsdecode(path)}"
                )
        except BlockingIOError:
            time.sleep(0.001)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise PolicyNotEnforceableError(
        f"a path of the sandbox policy comes and goes: {os.fsdecode(path)}"
    )


def _make(above: int, name: bytes, folder: bool) -> None:
    # Made with its mode in one step: before a second one it would look like somebody's own.
    with contextlib.suppress(FileExistsError):
        if folder:
            os.mkdir(name, _FOLDER_MODE, dir_fd=above)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, _FILE_MODE, dir_fd=above))


def _remove(above: int, name: bytes, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another server's sandbox needs it, and will take it away
    status = os.fstat(descriptor)
    if not _is_same(above, name, descriptor) or not _is_mark(descriptor, status):
        return
    # Not ours to insist: somebody may have begun to use it.
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=above)
        else:
            os.unlink(name, dir_fd=above)


def is_there(path: bytes) -> bool:
    """Return whether something is at a path, other than a placeholder of a sandbox."""
    try:
        return not is_placeholder(path, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # not known, so not missing
        return True
