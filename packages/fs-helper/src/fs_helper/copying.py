"""``fs/copy``, and the copying that ``fs/move`` needs between file systems."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from exec_server_protocol.errors import INVALID_REQUEST

from .answers import EMPTY
from .errors import OperationError
from .params import Params, flag, path_of
from .regular import open_for_reading, open_for_writing, truncate, write_all
from .tree import make_directories

__all__ = ["copy", "copy_content", "copy_file", "is_within"]

_COPY_BYTES: Final = 16 * 1024 * 1024
"""Asked of the kernel in one call: it copies without us, and a kill is heard in between."""

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
    directory that is there. A link is copied as it is.

    Raises:
        OperationError: A directory without ``recursive``, or into itself; a file onto
            itself, under whatever name; something special.
        OSError: As the system says. What was copied before that stays.
    """
    source = path_of(params, "sourcePath")
    destination = path_of(params, "destinationPath")
    recursive = flag(params, "recursive", default=False)
    status = os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        if not recursive:
            raise OperationError(INVALID_REQUEST, "a directory is copied only with recursive: true")
        if is_within(destination, status):
            raise OperationError(INVALID_REQUEST, "a directory cannot be copied into itself")
        _copy_tree(source, destination)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), destination)
    elif stat.S_ISREG(status.st_mode):
        copy_file(source, destination)
    else:
        raise OperationError(
            INVALID_REQUEST, "only regular files, directories and symbolic links can be copied"
        )
    return EMPTY


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
    """Copy from the start of one open file to the start of an empty one."""
    copied = 0
    if hasattr(os, "copy_file_range"):
        try:
            while True:
                count = os.copy_file_range(read_fd, write_fd, _COPY_BYTES)
                if not count:
                    break
                copied += count
        except OSError as error:
            if copied or error.errno not in _NO_KERNEL_COPY:
                raise
    # Also after a copy that ended: procfs says so at once, whatever there is to read.
    while data := os.read(read_fd, _READ_BYTES):
        write_all(write_fd, [data])


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


def _copy_tree(source: bytes, destination: bytes) -> None:
    make_directories(destination)
    pending = [(source, destination)]
    while pending:
        source, destination = pending.pop()
        with os.scandir(source) as entries:
            for entry in entries:
                target = os.path.join(destination, entry.name)
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), target)
                elif entry.is_dir(follow_symlinks=False):
                    make_directories(target)
                    pending.append((entry.path, target))
                elif entry.is_file(follow_symlinks=False):
                    copy_file(entry.path, target)
