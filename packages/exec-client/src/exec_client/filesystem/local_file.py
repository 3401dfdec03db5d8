"""A file here that is being replaced by what comes from an executor.

It grows under another name beside it, readable by its owner alone, and gets its name when it is
complete: a full disk, or a link that is gone, leaves the old one. All methods block.

A task that is cancelled does not stop the thread in which it called one of them, so the next one
may begin meanwhile; it waits.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from contextlib import suppress
from typing import Final

from .handles import BLOCK_BYTES
from .local_tree import LocalTree, usual_mode
from .plan import FileTransfer, part_name, unique_part_name

__all__ = ["LocalFile", "look_at"]

_PART_MODE: Final = 0o600
_LOCK_TRIES: Final = 4
"""A lock on a part that has just got its name is worth nothing: so often there is a new part."""


def look_at(item: FileTransfer, tree: LocalTree | None) -> os.stat_result | None:
    """Return what is at the place of a file, if anything is; links in a tree are not followed."""
    try:
        if tree is None:
            return os.stat(item.local)
        outer, _, name = item.local.rpartition("/")
        fd = tree.folder(outer)
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)
    except OSError:
        return None


class LocalFile:
    """A file here that is being written.

    Args:
        item: What it is a copy of.
        tree: The folder that ``item.local`` is below; ``None`` when the caller named the file,
            and links are followed.
        size: Of the source, in bytes.
        modified_ms: Of the source.

    Attributes:
        offset: Where the next byte goes.
    """

    def __init__(
        self, item: FileTransfer, tree: LocalTree | None, size: int, modified_ms: int
    ) -> None:
        self._item = item
        self._tree = tree
        self._size = size
        self._modified_ms = modified_ms
        self._folder = -1
        self._name = ""
        self._part: str | None = None
        self._kept = False
        self._fd = -1
        self._abandoned = False
        self._lock = threading.Lock()
        self.offset = 0

    @property
    def _path(self) -> str:
        return self._item.local if self._tree is None else self._tree.path(self._item.local)

    def open(self, *, resume: bool, keep: bool) -> None:
        """Open it, or its part where there is to be one.

        Args:
            resume: Go on with what there is of it.
            keep: Its part may be left for somebody who resumes.
        """
        with self._lock:
            self._check_wanted()
            try:
                self._open(resume=resume, keep=keep or resume)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from None

    def _open(self, *, resume: bool, keep: bool) -> None:
        if self._tree is not None:
            outer, _, self._name = self._item.local.rpartition("/")
            self._folder = self._tree.folder(outer)
        else:
            real = os.path.realpath(self._item.local)  # a link stays, its target is replaced
            if os.path.exists(real) and not os.path.isfile(real):
                self._fd = os.open(real, os.O_WRONLY | os.O_CLOEXEC)  # a device, or a FIFO
                return
            outer, self._name = os.path.split(real)
            place = getattr(os, "O_PATH", os.O_RDONLY)
            self._folder = os.open(outer, place | os.O_DIRECTORY | os.O_CLOEXEC)
        if keep and self._open_kept():
            if resume:
                there = os.fstat(self._fd).st_size
                self.offset = min(there, self._size) // BLOCK_BYTES * BLOCK_BYTES
            os.ftruncate(self._fd, self.offset)
            return
        part = unique_part_name(self._name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(part, flags, _PART_MODE, dir_fd=self._folder)
        self._part = part

    def _open_kept(self) -> bool:
        """Open the part whose name is known to others; false when somebody else writes to it."""
        part = part_name(self._name, self._size, self._modified_ms)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_LOCK_TRIES):
            fd = os.open(part, flags, _PART_MODE, dir_fd=self._folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = os.stat(part, dir_fd=self._folder, follow_symlinks=False)
                if os.path.samestat(there, os.fstat(fd)):
                    os.fchmod(fd, _PART_MODE)
                    self._fd, self._part, self._kept = fd, part, True
                    return True
            except FileNotFoundError:
                pass  # whoever had the lock gave it its name
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        return False

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED), self._path)

    def write(self, data: bytes) -> None:
        """Write at the offset."""
        with self._lock:
            self._check_wanted()
            view = memoryview(data)
            try:
                if self._part is not None:
                    os.lseek(self._fd, self.offset, os.SEEK_SET)
                while view:
                    written = os.write(self._fd, view)
                    view = view[written:]
                    self.offset += written
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from None

    def finish(self) -> None:
        """Give it its bits, its time and its name."""
        with self._lock:
            self._check_wanted()
            try:
                if self._part is not None:
                    self._settle()
                    os.replace(
                        self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder
                    )
                    self._part = None
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from None
            self._close()

    def _settle(self) -> None:
        old: os.stat_result | None = None
        with suppress(FileNotFoundError):
            old = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        if old is not None and stat.S_ISREG(old.st_mode):
            mode = stat.S_IMODE(old.st_mode)
            new = os.fstat(self._fd)
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                try:
                    os.fchown(self._fd, old.st_uid, old.st_gid)
                except PermissionError:
                    mode &= 0o777  # it is ours now: setuid would be for another owner
            os.fchmod(self._fd, mode)
        else:
            os.fchmod(self._fd, usual_mode() if self._item.mode is None else self._item.mode)
        if self._modified_ms:
            when = self._modified_ms * 1_000_000
            os.utime(self._fd, ns=(when, when))

    def _close(self) -> None:
        fds, self._fd, self._folder = (self._fd, self._folder), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def abandon(self, *, keep: bool) -> None:
        """Close it, and remove what there is of it unless it is to be kept."""
        with self._lock:
            self._abandoned = True
            if self._part is not None and not (keep and self._kept):
                with suppress(OSError):
                    os.unlink(self._part, dir_fd=self._folder)
            with suppress(OSError):
                self._close()
