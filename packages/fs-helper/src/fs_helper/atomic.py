"""Replacing a file so that nobody ever sees half of it.

The new content goes to a file without a name in the same directory, is flushed to the
device, gets a name and is renamed over the old one. A helper that is killed leaves the old
file or the new one; without support for nameless files (network file systems, macOS) it may
leave a ``.fs-helper-…`` file beside it.

Mode, owner, group and extended attributes are those of the old file, unless others are asked
for. Its inode and its hard links are not: other names keep the old content. Until the file has
the bits that it is to have, nobody but its owner may read it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .attributes import NO_ATTRIBUTES, Attributes, Kept, read_kept
from .nofollow import DIRECTORY, open_parent
from .regular import NEW_FILE_MODE, PRIVATE_MODE, not_regular, write_all

__all__ = ["replace", "sync_directory", "temporary_name"]

_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
_NO_TMPFILE: Final = frozenset(
    # Every way in which kernels and file systems say that they have no nameless files.
    {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
)


def replace(
    path: bytes,
    data: bytearray,
    *,
    follow: bool,
    exclusive: bool = False,
    attributes: Attributes = NO_ATTRIBUTES,
    flush: bool = True,
) -> None:
    """Give the file at ``path`` new content, in one step; make it if it is missing.

    Args:
        path: Absolute. A link stays a link: what it leads to is replaced.
        data: The content.
        follow: Whether links may lie on the way.
        exclusive: Nothing may be there, no link either.
        attributes: What the file is to have.
        flush: Wait until the content is on the device.

    Raises:
        OperationError: There is something, but not a regular file.
        OSError: As the system says; also when the old file may not be written to, or its
            owner cannot be kept. The old content is there, then.
    """
    with _parent(path, follow=follow, exclusive=exclusive) as (parent, name):
        old = None if exclusive else _old(parent, name)
        bits = NEW_FILE_MODE if old is None and attributes.unasked else PRIVATE_MODE
        fd, temporary = _create(parent, bits)
        try:
            try:
                write_all(fd, [data])
                attributes.give(fd, old)
                if flush:
                    os.fsync(fd)
                if temporary is None:
                    if exclusive:
                        _link(fd, parent, name)
                    else:
                        linked = temporary_name()
                        _link(fd, parent, linked)
                        temporary = linked
            finally:
                os.close(fd)
            if temporary is not None:
                _put_in_place(parent, temporary, name, exclusive=exclusive)
        except BaseException:
            if temporary is not None:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
            raise
        if flush:
            sync_directory(parent)


@contextmanager
def _parent(path: bytes, *, follow: bool, exclusive: bool) -> Iterator[tuple[int, bytes]]:
    """Open the folder of a file; yield it with the name in it."""
    if not follow:
        parent, name = open_parent(path)
    else:
        # A link that stands where nothing may be is something, too: it is not followed.
        place = os.path.realpath(os.path.dirname(path)) if exclusive else os.path.realpath(path)
        parent_path, name = (place, os.path.basename(path)) if exclusive else os.path.split(place)
        # The parent is free of links by now, unless one was put there this instant.
        parent = os.open(parent_path, DIRECTORY)
        name = name or b"."  # the root: opening it says that it is a directory
    try:
        yield parent, name
    finally:
        os.close(parent)


def _link(fd: int, parent: int, name: bytes) -> None:
    # The directory descriptor makes this follow the link in /proc.
    os.link(f"/proc/self/fd/{fd}".encode(), name, dst_dir_fd=parent)


def _put_in_place(parent: int, temporary: bytes, name: bytes, *, exclusive: bool) -> None:
    if exclusive:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        os.unlink(temporary, dir_fd=parent)
    else:
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)


def temporary_name() -> bytes:
    """Return a name that is not in use."""
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


def _old(parent: int, name: bytes) -> Kept | None:
    """Return what is to be kept of the old file, if there is one that may be written to."""
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise not_regular()
        return read_kept(fd)
    finally:
        os.close(fd)


def _create(parent: int, mode: int) -> tuple[int, bytes | None]:
    """Return a new file and its name; ``None`` when it has none yet."""
    if _TMPFILE and os.path.exists("/proc/self/fd"):
        try:
            flags = _TMPFILE | os.O_WRONLY | os.O_CLOEXEC
            return os.open(b".", flags, mode, dir_fd=parent), None
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
    name = temporary_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, mode, dir_fd=parent), name
