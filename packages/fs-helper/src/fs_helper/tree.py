"""``fs/createDirectory`` and ``fs/remove``."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from exec_server_protocol.errors import INTERNAL_ERROR, INVALID_REQUEST

from .answers import EMPTY
from .errors import OperationError
from .nofollow import open_directory, open_parent, split
from .params import Params, file_mode, flag, path_of

__all__ = ["create_directory", "make_directories", "remove", "remove_entry"]

_PRIVATE: Final = 0o700
"""Of a directory until it has its own bits."""

_READABLE: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def create_directory(params: Params) -> bytes:
    """Make a directory and return the JSON text of the answer to ``fs/createDirectory``.

    Raises:
        OperationError: ``/`` without ``recursive``, when links may not be followed.
        OSError: As the system says.
    """
    path = path_of(params)
    recursive = flag(params, "recursive", default=True)
    mode = file_mode(params, "createMode")
    if flag(params, "followSymlinks", default=True):
        if recursive:
            if mode is not None and path.rstrip(b"/"):
                make_directories(os.path.dirname(path.rstrip(b"/")))
            make_directories(path, mode)
        else:
            _make(path, mode)
        return EMPTY
    if mode is not None:
        raise OperationError(INVALID_REQUEST, "createMode is for paths with links")
    if recursive:
        os.close(open_directory(split(path), create=True))
        return EMPTY
    if not split(path):
        raise OperationError(INTERNAL_ERROR, "directory already exists", errno.EEXIST)
    parent, name = open_parent(path)
    try:
        os.mkdir(name, dir_fd=parent)
    finally:
        os.close(parent)
    return EMPTY


_VANISHED_MAX = 100
"""How often somebody else may remove the folder in which one is about to be made."""


def _make(path: bytes, mode: int | None) -> None:
    """Make a directory, with these bits whatever the umask, and never wider."""
    if mode is None:
        os.mkdir(path)
        return
    os.mkdir(path, mode & _PRIVATE)
    os.chmod(path, mode)


def make_directories(path: bytes, mode: int | None = None) -> None:
    """Make a directory and the parents it lacks. Others may do the same at the same time.

    Args:
        path: Absolute.
        mode: Permission bits of what is made; ``None`` for what the umask leaves.

    Raises:
        OSError: ``EEXIST`` when there is something else at ``path``; otherwise as the system
            says.
    """
    missing: list[bytes] = []
    made: set[bytes] = set()  # where the folder above was there a moment ago
    vanished = 0
    while True:
        try:
            _make(path, mode)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        except FileNotFoundError:
            # In some places, such as /proc, nothing can be made, and this is how they say so.
            vanished += path in made
            if vanished > _VANISHED_MAX or path == b"/":
                raise
            missing.append(path)
            path = os.path.dirname(path)
            continue
        if not missing:
            return
        path = missing.pop()
        made.add(path)


def remove(params: Params) -> bytes:
    """Remove what is at a path and return the JSON text of the answer to ``fs/remove``.

    A link is removed itself. ``force`` (the default) accepts that there is nothing.

    Raises:
        OperationError: The root; a link that may not be followed; a tree without following.
        OSError: As the system says.
    """
    path = path_of(params)
    recursive = flag(params, "recursive", default=True)
    follow = flag(params, "followSymlinks", default=True)
    if not follow and recursive:
        raise OperationError(INTERNAL_ERROR, "a tree cannot be removed without following links")
    try:
        if follow:
            remove_entry(path, recursive=recursive)
        else:
            _remove_without_following(path)
    except FileNotFoundError:
        if not flag(params, "force", default=True):
            raise
    return EMPTY


def remove_entry(path: bytes, *, recursive: bool) -> None:
    """Remove a file, a link or a directory; a directory that is not empty with ``recursive``.

    Raises:
        OperationError: It is the root.
        OSError: As the system says. What was removed before that is gone.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    # Emptying the root before finding that it cannot be removed would help nobody.
    if os.path.samestat(status, os.lstat(b"/")):
        raise OperationError(INVALID_REQUEST, "path must name an entry")
    if recursive:
        _empty(path, status)
    os.rmdir(path)


def _remove_without_following(path: bytes) -> None:
    parent, name = open_parent(path)
    try:
        status = os.lstat(name, dir_fd=parent)
        if stat.S_ISLNK(status.st_mode):
            raise OperationError(INVALID_REQUEST, "path is a symbolic link")
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    finally:
        os.close(parent)


def _empty(path: bytes, status: os.stat_result) -> None:
    """Remove everything in a directory.

    Works from descriptors, so that a directory swapped for a link is never followed, and
    with two of them at most, however deep the tree is: the way back is ``..``, which is
    compared with where we came from.
    """
    fd = os.open(path, _READABLE)
    try:
        if not os.path.samestat(os.fstat(fd), status):
            raise _moved()
        # Names still to be removed at each level, and the directory they are in.
        levels = [(status, _unlink_files(fd))]
        while True:
            here, names = levels[-1]
            if names:
                inner = os.open(names[-1], _READABLE, dir_fd=fd)
                os.close(fd)
                fd = inner
                levels.append((os.fstat(fd), _unlink_files(fd)))
                continue
            levels.pop()
            if not levels:
                return
            outer = os.open(b"..", _READABLE, dir_fd=fd)
            os.close(fd)
            fd = outer
            above, siblings = levels[-1]
            if not os.path.samestat(os.fstat(fd), above):
                raise _moved()
            name = siblings.pop()
            if not os.path.samestat(os.lstat(name, dir_fd=fd), here):
                raise _moved()
            os.rmdir(name, dir_fd=fd)
    finally:
        os.close(fd)


def _unlink_files(fd: int) -> list[bytes]:
    """Unlink what is no directory; return the names of the directories."""
    directories: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            else:
                os.unlink(name, dir_fd=fd)
    return directories


def _moved() -> OperationError:
    return OperationError(INTERNAL_ERROR, "the tree changed while it was being removed")
