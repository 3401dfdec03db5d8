"""The folder here that a tree comes into. Nothing is ever made outside of it.

An executor is not trusted: it could send a link, and then a file "below" it, now or the next
time. So every folder below the first is opened one by one, each from the one that it is in, and
a link in the way is an error. All methods block, and may be called from several threads.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import Final

__all__ = ["LocalTree", "usual_mode"]

_PLACE: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags for a folder that is only a place to start from."""

_OPEN_FOLDERS: Final = 32
"""Kept open: files of a folder come one after the other, and a deep one is not entered again for
each of them."""

_OWNER_ALL: Final = 0o700
"""What a folder needs while it is filled."""


class LocalTree:
    """A folder, and the ones in it, by their paths below it.

    Args:
        root: Its path. Links on the way to it, and itself, are followed: the caller named it.
        mode: Its permission bits if it has to be made; ``None`` for the usual ones.
    """

    def __init__(self, root: str, mode: int | None) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._made: list[tuple[str, int]] = []
        self._open: OrderedDict[str, int] = OrderedDict()
        self._closed = False
        try:
            self._make(root, mode, None)
        except FileExistsError:
            if not os.path.isdir(root):
                raise
        else:
            self._note("", mode)
        self._top = os.open(root, _PLACE)

    def path(self, below: str) -> str:
        """Return a path for people."""
        return os.path.join(self._root, below) if below else self._root

    def folder(self, below: str) -> int:
        """Return a descriptor of a folder, which the caller closes.

        Raises:
            OSError: It is missing, or a link, or a file; on the way to it, too.
        """
        with self._lock:
            if self._closed:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED), self.path(below))
            return os.dup(self._enter(below))

    def _enter(self, below: str) -> int:
        names: list[str] = []
        while below and below not in self._open:
            below, _, name = below.rpartition("/")
            names.append(name)
        if below:
            self._open.move_to_end(below)
        fd = self._open[below] if below else self._top
        while names:
            name = names.pop()
            below = f"{below}/{name}" if below else name
            try:
                fd = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self.path(below)) from None
            self._open[below] = fd
            if len(self._open) > _OPEN_FOLDERS:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def make_folder(self, below: str, mode: int | None) -> None:
        """Make a folder with these bits, or find it there: a real one.

        Raises:
            OSError: There is something else.
        """
        outer, _, name = below.rpartition("/")
        fd = self.folder(outer)
        try:
            try:
                self._make(name, mode, fd)
            except FileExistsError:
                os.close(self.folder(below))
            else:
                self._note(below, mode)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path(below)) from None
        finally:
            os.close(fd)

    @staticmethod
    def _make(name: str, mode: int | None, fd: int | None) -> None:
        if mode is None:
            os.mkdir(name, dir_fd=fd)
            return
        os.mkdir(name, _OWNER_ALL, dir_fd=fd)
        if mode != _OWNER_ALL:
            os.chmod(name, mode | _OWNER_ALL, dir_fd=fd)

    def _note(self, below: str, mode: int | None) -> None:
        if mode is not None and mode | _OWNER_ALL != mode:
            self._made.append((below, mode))

    def make_link(self, below: str, said: bytes) -> None:
        """Make a symbolic link, in place of whatever is there but a folder.

        Raises:
            OSError: There is a folder.
        """
        outer, _, name = below.rpartition("/")
        fd = self.folder(outer)
        try:
            try:
                os.symlink(said, os.fsencode(name), dir_fd=fd)
            except FileExistsError:
                temporary = f".{os.urandom(8).hex()}.link"
                os.symlink(said, os.fsencode(temporary), dir_fd=fd)
                try:
                    os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=fd)
                    raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path(below)) from None
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Take from folders that were made what their owner may not do."""
        for below, mode in reversed(self._made):
            if not below:
                os.chmod(self._root, mode)
                continue
            outer, _, name = below.rpartition("/")
            fd = self.folder(outer)
            try:
                if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    os.chmod(name, mode, dir_fd=fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Close what is kept open. Later calls are refused."""
        with self._lock:
            self._closed = True
            while self._open:
                os.close(self._open.popitem()[1])
            if self._top >= 0:
                os.close(self._top)
                self._top = -1


def usual_mode() -> int:
    """Return the permission bits that a new file gets here."""
    with suppress(OSError, ValueError), open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"Umask:"):
                return 0o666 & ~int(line.split()[1], 8)
    umask = os.umask(0o077)  # for an instant, files of others would be narrower: never wider
    os.umask(umask)
    return 0o666 & ~umask
