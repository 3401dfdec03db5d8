"""Watch over the mounts of a running sandbox: do they still lie where they were put?

A mount lies on a name. Outside, that name can be taken away: what is removed, or replaced by
a rename, takes the mount along, in every sandbox; what is moved carries it to another place,
and so does a folder above that is moved. Inside, whatever comes under the old name is then
neither hidden nor protected. The kernel reports both before the call that did it returns:
mounts that come or go are announced by the sandbox's own ``mountinfo``, and a file or
folder that is moved tells by inotify. Here both are asked, without waiting.

What has once been disturbed stays so: the same name may lead to the same file again, and the
mount lie elsewhere.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from typing import Final

from .inotify import Inotify
from .mounts import Kind, Plan

__all__ = ["MountWatch", "MountWatcher", "places"]

_MOVE_SELF: Final = 0x800
_DONT_FOLLOW, _MASK_ADD = 0x02000000, 0x20000000
_MASK: Final = _MOVE_SELF | _DONT_FOLLOW | _MASK_ADD
_CREATE, _MOVED_TO = 0x100, 0x80
_ITSELF: Final = b""
"""Instead of a name: the file or folder is moved."""


def places(plan: Plan) -> dict[bytes, set[bytes]]:
    """Return what may not be moved, with the names that may not come to be in it.

    That is what mounts lie on, and the folders above it; and where something that is denied
    is missing, the folder that it would be in.
    """
    found: dict[bytes, set[bytes]] = {}
    for path in plan.absent:
        above, _, name = path.rpartition(b"/")
        found.setdefault(above or b"/", {_ITSELF}).add(name)
    lain_on = [mount.path for mount in plan.mounts if mount.kind is not Kind.LINK]
    for path in [*lain_on, *list(found)]:
        while path != b"/":
            found.setdefault(path, {_ITSELF})
            path = path[: path.rfind(b"/")] or b"/"
    return found


class MountWatch:
    """The mounts of one sandbox. Made by ``MountWatcher.watch``."""

    def __init__(self, watcher: MountWatcher, mounts: int, announced: int | None) -> None:
        self._watcher = watcher
        self._mounts = mounts
        self._announced = announced
        self._numbers: set[int] = set()
        self._disturbed = False
        self._poll = select.poll()
        self._poll.register(mounts, select.POLLPRI | select.POLLERR)

    def is_intact(self) -> bool:
        """Return whether every mount is where it was when this was made. Never blocks."""
        return self._watcher.is_intact(self)

    def disturb(self) -> None:
        """Count as disturbed from now on: the mounts differ, and the kernel did not report it."""
        self._watcher.disturb(self)

    def close(self) -> None:
        """Watch this sandbox no more; it does not count as intact. May block."""
        self._watcher.forget(self)


class MountWatcher:
    """All sandboxes of a process. Safe to use from several threads.

    Args:
        announces: There is a descriptor that becomes readable when a sandbox is disturbed.

    Where the system has no more watches, or a folder cannot be read, moves go unnoticed; what is
    removed or replaced never does.
    """

    def __init__(self, *, announces: bool = False) -> None:
        self._lock = threading.Lock()
        self._epoll = select.epoll() if announces else None
        self._wake: int | None = None
        if self._epoll is not None:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._epoll.register(self._wake, select.EPOLLIN)
        self._inotify: Inotify | None = None
        self._watched: dict[int, dict[MountWatch, set[bytes]]] = {}
        self._watches: set[MountWatch] = set()
        self._forgotten = 0  # what another sandbox gives up has one number with what this one adds

    def watch(self, plan: Plan, pid: int) -> MountWatch:
        """Watch the mounts of a sandbox, from before they are compared with the plan. May block.

        Args:
            plan: What it was set up from.
            pid: A process in it.

        Raises:
            OSError: The process is gone.
        """
        path, flags = f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC
        # A descriptor reports a change to the first poll only: one is for waking, one for looking.
        announced = None if self._epoll is None else os.open(path, flags)
        watch = MountWatch(self, os.open(path, flags), announced)
        with self._lock:
            if self._inotify is None:
                with suppress(OSError):
                    self._inotify = Inotify()
                    if self._epoll is not None:
                        self._epoll.register(self._inotify, select.EPOLLIN)
            if self._epoll is not None and announced is not None:
                self._epoll.register(announced, select.EPOLLPRI)
            self._watches.add(watch)
        while not self._watch_moves(watch, places(plan)):
            pass
        return watch

    def _watch_moves(self, watch: MountWatch, paths: dict[bytes, set[bytes]]) -> bool:
        """Watch paths that must not be moved. Returns whether all watches lasted until then."""
        if self._inotify is None:
            return True
        forgotten = self._forgotten
        numbers: dict[int, set[bytes]] = {}
        for path, names in paths.items():
            mask = _MASK | _CREATE | _MOVED_TO if len(names) > 1 else _MASK
            numbers.setdefault(self._inotify.add(path, mask), set()).update(names)
        numbers.pop(-1, None)
        with self._lock:
            self._read_moves()  # what was before does not concern this one
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)  # but perhaps others
            watch._numbers.update(numbers)
            for number, names in numbers.items():
                self._watched.setdefault(number, {})[watch] = names
            return forgotten == self._forgotten

    def fileno(self) -> int:
        """Return the descriptor that announces."""
        assert self._epoll is not None  # noqa: S101 - it was asked for
        return self._epoll.fileno()

    def calm(self) -> None:
        """Take note of what was announced; then ask each watch. Never blocks."""
        if self._epoll is not None and self._wake is not None:
            self._epoll.poll(0)
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            with self._lock:  # else the descriptor stays readable
                self._read_moves()

    def close(self) -> None:
        """Announce nothing any more."""
        with self._lock:
            for watch in self._watches:
                watch._disturbed = True
            if self._epoll is not None and self._wake is not None:
                self._epoll.close()
                os.close(self._wake)
                self._wake = None
            if self._inotify is not None:
                self._inotify.close()

    def is_intact(self, watch: MountWatch) -> bool:
        """See ``MountWatch.is_intact``."""
        with self._lock:
            if not watch._disturbed:
                self._read_moves()
                watch._disturbed = watch._disturbed or bool(watch._poll.poll(0))
            return not watch._disturbed

    def disturb(self, watch: MountWatch) -> None:
        """See ``MountWatch.disturb``. It is announced."""
        with self._lock:
            watch._disturbed = True
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def _read_moves(self) -> None:
        for number, name in self._inotify.read() if self._inotify is not None else ():
            if number < 0:
                for watch in self._watches:
                    watch._disturbed = True
            for watch, names in self._watched.get(number, {}).items():
                watch._disturbed = watch._disturbed or name in names

    def forget(self, watch: MountWatch) -> None:
        """See ``MountWatch.close``."""
        with self._lock:
            if watch not in self._watches:
                return
            self._watches.discard(watch)
            watch._disturbed = True
            os.close(watch._mounts)
            if watch._announced is not None:
                os.close(watch._announced)
            for number in watch._numbers:
                others = self._watched[number]
                others.pop(watch, None)
                if not others:
                    del self._watched[number]
                    self._forgotten += 1
                    if self._inotify is not None:
                        self._inotify.remove(number)
