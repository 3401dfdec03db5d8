"""Opening paths without following a symbolic link anywhere on the way.

The path is walked from ``/`` one component at a time, each opened relative to the one
before, so that nobody can swap a directory for a link in between: a directory that was
opened stays the one that was opened. A link where a directory is expected is ``ENOTDIR``.

Directories are opened without asking for permission to read them, so that search-only
ancestors work.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from exec_server_protocol.errors import INVALID_REQUEST

from .errors import OperationError

__all__ = ["DIRECTORY", "open_directory", "open_parent", "split"]

# Where O_PATH does not exist, reading is the nearest thing.
DIRECTORY: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
)
"""Flags for a directory that is only a place to start from."""


def split(path: bytes) -> list[bytes]:
    """Return the components of an absolute path, outermost first."""
    return [component for component in path.split(b"/") if component]


def open_directory(components: list[bytes], *, create: bool = False) -> int:
    """Return a descriptor of a directory, which the caller closes. It cannot be read from.

    Args:
        components: From ``split``; none of them means ``/``.
        create: Make the directories that are missing. Others may do so at the same time.

    Raises:
        OSError: ``ENOTDIR`` for a link or a file on the way.
    """
    fd = os.open("/", DIRECTORY)
    for component in components:
        try:
            inner = _enter(fd, component, create=create)
        finally:
            os.close(fd)
        fd = inner
    return fd


def open_parent(path: bytes) -> tuple[int, bytes]:
    """Return a descriptor of the parent directory, which the caller closes, and the last name.

    Raises:
        OperationError: The path is ``/``, which has no name.
        OSError: As ``open_directory``.
    """
    components = split(path)
    if not components:
        raise OperationError(INVALID_REQUEST, "path must name an entry")
    return open_directory(components[:-1]), components[-1]


def _enter(fd: int, component: bytes, *, create: bool) -> int:
    try:
        return os.open(component, DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    # Somebody else may make it first; opening it says whether it is a directory.
    with suppress(FileExistsError):
        os.mkdir(component, dir_fd=fd)
    return os.open(component, DIRECTORY, dir_fd=fd)
