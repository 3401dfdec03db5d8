"""Kernel events about changes on the disk, instead of looking again.

Looking again at everything that a plan was made from takes some forty system calls, any of
which may block, and so a thread. The kernel can be asked instead: a change is in the queue of
inotify before the call that made it returns, and a mount is announced by ``mountinfo``. Both
are read without waiting.

That holds for file systems of this machine alone. What another machine changes, or a program
behind FUSE, nobody announces: then there is no watch, and the disk is looked at. So it is
wherever anything is in doubt.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
from typing import Final

from .inotify import Inotify
from .lookup import Lookup
from .placeholders import looks_like_placeholder

__all__ = ["DiskEvents", "Watch"]

_LOCAL: Final = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0xF2F52010,  # f2fs
        0x2FC12FC1,  # zfs
        0xCA451A4E,  # bcachefs
        0x01021994,  # tmpfs
        0x858458F6,  # ramfs
        0x794C7630,  # overlayfs
        0x73717368,  # squashfs
        0xE0F5E1E2,  # erofs
    }
)
"""``linux/magic.h``: file systems that change through this kernel, and in no other way."""
_STATFS_BYTES: Final = 256
"""More than ``struct statfs`` has; it begins with the type, a long."""

_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_DONT_FOLLOW, _MASK_ADD = 0x02000000, 0x20000000
_OF_A_NAME: Final = _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_MASK: Final = _OF_A_NAME | _DELETE_SELF | _MOVE_SELF | _DONT_FOLLOW | _MASK_ADD
"""Everything that can change what a name stands for. Contents of files do not."""
_ANY: Final = b""
"""Instead of a name: everything in the folder counts."""
_FOLDERS_MAX: Final = 1024
"""Watched for one plan. The system has so many watches for everything that a user runs."""


class Watch:
    """Files and folders that one plan depends on.

    Attributes:
        fresh: Nothing of it has changed, as far as events have been read.
    """

    __slots__ = ("_descriptors", "fresh")

    def __init__(self) -> None:
        self.fresh = True
        self._descriptors: set[int] = set()


class DiskEvents:
    """Watches for changes. One thread at a time may watch and forget, while others ask.

    Raises:
        OSError: This system has no such thing, or no more of it.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._statfs = ctypes.CDLL(None, use_errno=True).statfs
        self._lock = threading.Lock()
        self._names: dict[int, dict[bytes, set[Watch]]] = {}
        self._watches: set[Watch] = set()
        try:
            self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._inotify.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._inotify, select.POLLIN)
        self._poll.register(self._mounts, select.POLLPRI | select.POLLERR)

    def close(self) -> None:
        """Forget all watches; none is fresh any more."""
        with self._lock:
            self._all_changed()
            self._watches.clear()
            self._names.clear()
            if self._mounts >= 0:
                self._inotify.close()
                os.close(self._mounts)
                self._mounts = -1

    # ------------------------------------------------------------------ asking

    def is_fresh(self, watch: Watch) -> bool:
        """Return whether everything is as it was when ``watch`` was made. Never blocks."""
        with self._lock:
            if watch.fresh and (ready := self._poll.poll(0)):
                self._read(ready)
            return watch.fresh

    def _read(self, ready: list[tuple[int, int]]) -> None:
        if any(fd == self._mounts for fd, _ in ready):  # the poll has acknowledged it
            self._all_changed()
        for number, name in self._inotify.read():
            self._changed(number, name)

    def _changed(self, descriptor: int, name: bytes) -> None:
        if descriptor < 0:  # events were lost
            self._all_changed()
            return
        names = self._names.get(descriptor)
        if names is None:
            return
        if name and name.isascii():
            # There are folders in which either case is the same name.
            found = [names[key] for key in (name.lower(), _ANY) if key in names]
        else:
            found = list(names.values())
        for watches in found:
            for watch in watches:
                watch.fresh = False

    def _all_changed(self) -> None:
        for watch in self._watches:
            watch.fresh = False

    # ------------------------------------------------------------------ watching

    def watch(self, lookup: Lookup) -> Watch | None:
        """Watch everything that was looked at, and look again. May block.

        Returns:
            ``None`` when it has changed, or when not all changes would be announced.
        """
        places = _places(lookup)
        if places is None or not all(self._is_local(path) for path in places):
            return None
        watch = Watch()
        with self._lock:
            if self._mounts < 0:
                return None
            if ready := self._poll.poll(0):  # what was before is of no interest to this one
                self._read(ready)
            self._watches.add(watch)
        watched = all(self._watch_one(watch, *place) for place in places.items())
        if watched and lookup.is_unchanged() and watch.fresh:
            return watch
        self.forget(watch)
        return None

    def _is_local(self, path: bytes) -> bool:
        status = ctypes.create_string_buffer(_STATFS_BYTES)
        if self._statfs(path, status):
            return False
        return ctypes.c_ulong.from_buffer(status).value in _LOCAL

    def _watch_one(self, watch: Watch, path: bytes, names: set[bytes]) -> bool:
        # What is written into files is of no interest, but in placeholders nothing may be.
        mask = _MASK | _MODIFY if names == {_ANY} else _MASK
        descriptor = self._inotify.add(path, mask)
        if descriptor < 0:
            return False
        with self._lock:
            watch._descriptors.add(descriptor)
            known = self._names.setdefault(descriptor, {})
            for name in names:
                known.setdefault(name, set()).add(watch)
        return True

    def forget(self, watch: Watch) -> None:
        """Watch this no more. May block."""
        with self._lock:
            watch.fresh = False
            self._watches.discard(watch)
            unused: list[int] = []
            for descriptor in watch._descriptors:
                names = self._names.get(descriptor, {})
                for name in [name for name, watches in names.items() if watch in watches]:
                    names[name].discard(watch)
                    if not names[name]:
                        del names[name]
                if not names:
                    self._names.pop(descriptor, None)
                    unused.append(descriptor)
            watch._descriptors.clear()
        for descriptor in unused:
            self._inotify.remove(descriptor)


def _places(lookup: Lookup) -> dict[bytes, set[bytes]] | None:
    """Return what has to be watched: folders, and the names in them. ``None`` if not possible."""
    places: dict[bytes, set[bytes]] = {}
    for path, status in lookup.seen.items():
        if status is not None and looks_like_placeholder(status):
            return None  # it becomes one as soon as there is nothing in it
        above, _, name = path.rpartition(b"/")
        if name:  # the root has no name, and nothing but a mount can take its place
            places.setdefault(above or b"/", set()).add(name.lower() if name.isascii() else _ANY)
        if status is None and os.path.lexists(path):
            places.setdefault(path, set()).add(_ANY)  # a placeholder, while it is empty
    return places if len(places) <= _FOLDERS_MAX else None
