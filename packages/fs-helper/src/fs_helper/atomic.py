"""Replacing a file so that nobody ever sees half of it.

The new content goes to a file without a name in the same directory, is flushed to the
device, gets a name and is renamed over the old one. A helper that is killed leaves the old
file or the new one; without support for nameless files (network file systems, macOS) it may
leave a ``.fs-helper-…`` file beside it.

Mode, owner, group and extended attributes are those of the old file. Its inode and its hard
links are not: other names keep the old content.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from .nofollow import DIRECTORY, open_parent
from .regular import NEW_FILE_MODE, not_regular, write_all

__all__ = ["replace", "sync_directory", "temporary_name"]

_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
_NO_TMPFILE: Final = frozenset(
    # Every way in which kernels and file systems say that they have no nameless files.
    {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
)


def replace(path: bytes, data: bytearray, *, follow: bool) -> None:
    """Give the file at ``path`` new content, in one step; make it if it is missing.

    Args:
        path: Absolute. A link stays a link: what it leads to is replaced.
        data: The content.
        follow: Whether links may lie on the way.

    Raises:
        OperationError: There is something, but not a regular file.
        OSError: As the system says; also when the old file may not be written to, or its
            owner cannot be kept. The old content is there, then.
    """
    if follow:
        parent_path, name = os.path.split(os.path.realpath(path))
        # The parent is free of links by now, unless one was put there this instant.
        parent = os.open(parent_path, DIRECTORY)
        name = name or b"."  # the root: opening it says that it is a directory
    else:
        parent, name = open_parent(path)
    try:
        old = _status(parent, name)
        fd, temporary = _create(parent)
        try:
            try:
                write_all(fd, [data])
                if old is not None:
                    _keep(fd, *old)
                os.fsync(fd)
                if temporary is None:
                    linked = temporary_name()
                    # The directory descriptor makes this follow the link in /proc.
                    os.link(f"/proc/self/fd/{fd}".encode(), linked, dst_dir_fd=parent)
                    temporary = linked
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            if temporary is not None:
                os.unlink(temporary, dir_fd=parent)
            raise
        sync_directory(parent)
    finally:
        os.close(parent)


def temporary_name() -> bytes:
    """Return a name that nobody has."""
    return b".fs-helper-" + os.urandom(8).hex().encode()


def sync_directory(fd: int) -> None:
    """Flush a directory to the device, if it can be read and its file system can do that."""
    try:
        readable = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return  # a search-only directory: the rename is done, only not flushed
    try:
        os.fsync(readable)
    except OSError:
        pass  # some file systems refuse this for directories
    finally:
        os.close(readable)


_Kept = tuple[os.stat_result, list[tuple[str, bytes]]]


def _status(parent: int, name: bytes) -> _Kept | None:
    """Return what is to be kept of the old file, if there is one that may be written to."""
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise not_regular()
        return status, _attributes(fd)
    finally:
        os.close(fd)


def _attributes(fd: int) -> list[tuple[str, bytes]]:
    if not hasattr(os, "listxattr"):
        return []
    try:
        return [(name, os.getxattr(fd, name)) for name in os.listxattr(fd)]
    except OSError:
        return []  # a file system without them


def _create(parent: int) -> tuple[int, bytes | None]:
    """Return a new file and its name; ``None`` when it has none yet."""
    if _TMPFILE and os.path.exists("/proc/self/fd"):
        try:
            flags = _TMPFILE | os.O_WRONLY | os.O_CLOEXEC
            return os.open(b".", flags, NEW_FILE_MODE, dir_fd=parent), None
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
    name = temporary_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, NEW_FILE_MODE, dir_fd=parent), name


def _keep(fd: int, status: os.stat_result, attributes: list[tuple[str, bytes]]) -> None:
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(fd, status.st_uid, status.st_gid)
    for name, value in attributes:
        # What the system sets by itself (labels), or drops on a write (capabilities), is
        # not ours to copy.
        if name.startswith("user.") or name == "system.posix_acl_access":
            os.setxattr(fd, name, value)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))  # last: a new owner clears the setuid bit
