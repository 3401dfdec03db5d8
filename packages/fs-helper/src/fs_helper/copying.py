"""``fs/copy``, and the copying that ``fs/move`` needs between file systems."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Final, TypeAlias

from exec_server_protocol.errors import INVALID_REQUEST
from exec_server_protocol.path_uri import PathUri

from .answers import EMPTY, dump
from .atomic import temporary_name
from .attributes import Attributes, kept_of
from .errors import OperationError
from .links import put_symlink
from .params import Params, flag, path_of
from .regular import PRIVATE_MODE, open_for_reading, open_for_writing, truncate, write_all
from .tree import make_directories

__all__ = ["copy", "copy_content", "copy_file", "is_within"]

_COPY_BYTES: Final = 16 * 1024 * 1024
"""Asked of the kernel in one call: it copies without us, and a kill is heard in between."""

_BLOCK_BYTES: Final = 512
"""What ``st_blocks`` counts in, everywhere."""

_SKIPPED_MAX_BYTES: Final = 256 * 1024
"""Of the paths of what was left out that an answer names: it is one frame."""

_READ_BYTES: Final = 256 * 1024
"""A block where the kernel cannot copy by itself."""

_NO_KERNEL_COPY: Final = frozenset(
    # Other file systems, old kernels, seccomp filters, devices, files in use.
    {
        errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF,
        errno.ETXTBSY, errno.EOVERFLOW,
    }
)  # fmt: skip


def copy(params: Params) -> bytes:
    """Copy a file, a link or a tree and return the JSON text of the answer to ``fs/copy``.

    Files take their permission bits along, directories do not. A tree is merged into a
    directory that is there. A link is copied as it is, unless links are followed.

    Raises:
        OperationError: A directory without ``recursive``, or into itself; a file onto
            itself, under whatever name; something special.
        OSError: As the system says. What was copied before that stays.
    """
    source = path_of(params, "sourcePath")
    destination = path_of(params, "destinationPath")
    recursive = flag(params, "recursive", default=False)
    follow = flag(params, "followSymlinks", default=False)
    copying = _Copying(atomic=flag(params, "atomic", default=False), follow=follow)
    status = os.stat(source) if follow else os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        if not recursive:
            raise OperationError(INVALID_REQUEST, "a directory is copied only with recursive: true")
        if is_within(destination, status):
            raise OperationError(INVALID_REQUEST, "a directory cannot be copied into itself")
        copying.tree(source, destination, status)
    elif stat.S_ISLNK(status.st_mode):
        copying.link(source, destination)
    elif stat.S_ISREG(status.st_mode):
        copying.file(source, destination)
    else:
        raise OperationError(
            INVALID_REQUEST, "only regular files, directories and symbolic links can be copied"
        )
    if not flag(params, "listSkipped", default=False):
        return EMPTY
    return dump({"skipped": copying.skipped})


class _Copying:
    """One ``fs/copy``.

    Args:
        atomic: Each file, and each link, takes its place in one step.
        follow: Copy what links lead to.

    Attributes:
        skipped: URIs of what was left out, as far as an answer has room for them.
    """

    def __init__(self, *, atomic: bool, follow: bool) -> None:
        self._atomic = atomic
        self._follow = follow
        self.skipped: list[str] = []
        self._skipped_bytes = 0

    def file(self, source: bytes, destination: bytes) -> None:
        """Copy a regular file."""
        if self._atomic:
            _replace_with_copy(source, destination)
        else:
            copy_file(source, destination)

    def link(self, source: bytes, destination: bytes) -> None:
        """Copy a link."""
        target = os.readlink(source)
        if self._atomic:
            put_symlink(target, destination)
        else:
            os.symlink(target, destination)

    def tree(self, source: bytes, destination: bytes, status: os.stat_result) -> None:
        """Copy a directory with everything in it."""
        make_directories(destination)
        # With each directory, those that it is in: a link to one of them is a circle.
        pending: list[tuple[bytes, bytes, _Above]] = [(source, destination, (status, None))]
        while pending:
            source, destination, above = pending.pop()
            with os.scandir(source) as entries:
                for entry in entries:
                    target = os.path.join(destination, entry.name)
                    if entry.is_symlink() and not self._follow:
                        self.link(entry.path, target)
                    elif entry.is_dir(follow_symlinks=self._follow):
                        here = entry.stat(follow_symlinks=self._follow)
                        if self._follow and _is_among(here, above):
                            self._skip(entry.path)
                            continue
                        make_directories(target)
                        pending.append((entry.path, target, (here, above)))
                    elif entry.is_file(follow_symlinks=self._follow):
                        self.file(entry.path, target)
                    else:
                        self._skip(entry.path)

    def _skip(self, path: bytes) -> None:
        uri = str(PathUri.from_native(path))
        self._skipped_bytes += len(uri) + 3  # quotes and a comma
        if self._skipped_bytes <= _SKIPPED_MAX_BYTES:
            self.skipped.append(uri)


_Above: TypeAlias = "tuple[os.stat_result, _Above | None]"


def _is_among(status: os.stat_result, above: _Above | None) -> bool:
    while above is not None:
        if os.path.samestat(status, above[0]):
            return True
        above = above[1]
    return False


def _replace_with_copy(source: bytes, destination: bytes) -> None:
    """Copy a regular file beside its destination, and rename it; a link stays, as what it names.

    The copy has the bits of its source, and the owner of a file that it replaces.
    """
    destination = os.path.realpath(destination)
    kept = kept_of(destination)
    read_fd, _size = open_for_reading(source)
    try:
        old = os.fstat(read_fd)
        if kept is not None and os.path.samestat(old, kept.status):
            raise OperationError(INVALID_REQUEST, "a file cannot be copied onto itself")
        if kept is None and os.path.lexists(destination):
            copy_file(source, destination)  # a device, or a FIFO: there is nothing to replace
            return
        temporary = os.path.join(os.path.dirname(destination), temporary_name())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        write_fd = os.open(temporary, flags, PRIVATE_MODE)
        try:
            try:
                copy_content(read_fd, write_fd)
                asked = Attributes(None, stat.S_IMODE(old.st_mode), None)
                asked.give(write_fd, kept)
            finally:
                os.close(write_fd)
            os.rename(temporary, destination)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    finally:
        os.close(read_fd)


def copy_file(source: bytes, destination: bytes) -> None:
    """Copy content and permission bits of a regular file, into an existing file in place.

    Raises:
        OperationError: They are the same file, or ``source`` is no regular one. The
            destination is as it was.
        OSError: As the system says.
    """
    read_fd, _size = open_for_reading(source)
    try:
        write_fd = open_for_writing(destination, special=True)
        try:
            old, new = os.fstat(read_fd), os.fstat(write_fd)
            if os.path.samestat(old, new):
                raise OperationError(INVALID_REQUEST, "a file cannot be copied onto itself")
            truncate(write_fd)
            copy_content(read_fd, write_fd)
            if stat.S_ISREG(new.st_mode):
                os.fchmod(write_fd, stat.S_IMODE(old.st_mode))
        finally:
            os.close(write_fd)
    finally:
        os.close(read_fd)


def copy_content(read_fd: int, write_fd: int) -> None:
    """Copy from the start of one open file to the start of an empty one; holes stay holes."""
    status = os.fstat(read_fd)
    sparse = status.st_blocks * _BLOCK_BYTES < status.st_size
    if sparse and hasattr(os, "SEEK_DATA") and stat.S_ISREG(os.fstat(write_fd).st_mode):
        _copy_pieces(read_fd, write_fd, status.st_size)
    # Also after that: a file that has grown meanwhile, and one of procfs, whose size is 0
    # whatever there is to read.
    _copy_to_the_end(read_fd, write_fd)


def _copy_pieces(read_fd: int, write_fd: int, size: int) -> None:
    """Copy what holds data of a file with holes, and give the copy the same size."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(read_fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # nothing but a hole is left
            if error.errno == errno.EINVAL and not offset:
                return  # a file system that does not tell
            raise
        end = min(os.lseek(read_fd, start, os.SEEK_HOLE), size)
        os.lseek(read_fd, start, os.SEEK_SET)
        os.lseek(write_fd, start, os.SEEK_SET)
        _copy_to_the_end(read_fd, write_fd, end - start)
        offset = max(end, start + 1)
    os.ftruncate(write_fd, size)
    os.lseek(read_fd, size, os.SEEK_SET)
    os.lseek(write_fd, size, os.SEEK_SET)


def _copy_to_the_end(read_fd: int, write_fd: int, limit: int | None = None) -> None:
    """Copy from where both files are, as many bytes as that, or all."""
    copied = 0
    if hasattr(os, "copy_file_range"):
        try:
            while limit is None or copied < limit:
                count = _COPY_BYTES if limit is None else min(_COPY_BYTES, limit - copied)
                count = os.copy_file_range(read_fd, write_fd, count)
                if not count:
                    break
                copied += count
        except OSError as error:
            if copied or error.errno not in _NO_KERNEL_COPY:
                raise
    # Also after a copy that ended: procfs says so at once, whatever there is to read.
    while limit is None or copied < limit:
        count = _READ_BYTES if limit is None else min(_READ_BYTES, limit - copied)
        data = os.read(read_fd, count)
        if not data:
            return
        write_all(write_fd, [data])
        copied += len(data)


def is_within(path: bytes, directory: os.stat_result) -> bool:
    """Whether a path, which need not exist, is a directory or lies below it.

    Compares the directories themselves, not their names, so that links and other mounts of
    the same place do not hide it.
    """
    place = os.path.realpath(path)
    while True:
        try:
            if os.path.samestat(os.stat(place), directory):
                return True
        except OSError:
            pass  # does not exist yet
        if place == b"/":
            return False
        place = os.path.dirname(place)
