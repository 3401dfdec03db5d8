"""Permission bits, owner and times of a file, set before anybody sees it under its name."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final, NamedTuple

from exec_server_protocol.errors import INVALID_REQUEST

from .answers import EMPTY
from .errors import OperationError
from .nofollow import open_parent, split
from .params import Params, file_mode, flag, optional_natural, path_of

__all__ = [
    "NO_ATTRIBUTES",
    "Attributes",
    "Kept",
    "attributes_of",
    "kept_of",
    "read_kept",
    "set_metadata",
]

_NO_FILE: Final = frozenset({errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO})
"""Error numbers that mean: there is something, but no file. Renaming will fail with the reason."""

_NS_PER_MS: Final = 1_000_000
_MS_MAX: Final = 2**63 // _NS_PER_MS - 1
"""Nanoseconds are a signed integer of 64 bits to most systems: the year 2262."""


class Kept(NamedTuple):
    """Attributes that a file hands on to the one that replaces it.

    Attributes:
        status: Its owner and its mode.
        extended: Its extended attributes.
    """

    status: os.stat_result
    extended: list[tuple[str, bytes]]

    def give(self, fd: int) -> None:
        """Give them to an open file.

        Raises:
            OSError: As the system says: the owner is not ours to give, for instance.
        """
        new = os.fstat(fd)
        if (new.st_uid, new.st_gid) != (self.status.st_uid, self.status.st_gid):
            os.fchown(fd, self.status.st_uid, self.status.st_gid)
        for name, value in self.extended:
            # What the system sets by itself (labels), or drops on a write (capabilities), is
            # not ours to copy.
            if name.startswith("user.") or name == "system.posix_acl_access":
                os.setxattr(fd, name, value)
        os.fchmod(fd, stat.S_IMODE(self.status.st_mode))  # last: a new owner clears setuid


class Attributes(NamedTuple):
    """Attributes that a request asks for.

    Attributes:
        create_mode: Permission bits unless a file is replaced.
        file_mode: Permission bits in any case.
        modified_ns: Time of modification.
    """

    create_mode: int | None
    file_mode: int | None
    modified_ns: int | None

    @property
    def unasked(self) -> bool:
        """Whether a new file gets the bits that the umask leaves."""
        return self.create_mode is None and self.file_mode is None

    def give(self, fd: int, kept: Kept | None) -> None:
        """Give an open file what it is to have, the owner before the bits.

        Raises:
            OSError: As the system says.
        """
        if kept is not None:
            kept.give(fd)
        elif self.create_mode is not None:
            os.fchmod(fd, self.create_mode)
        if self.file_mode is not None:
            os.fchmod(fd, self.file_mode)
        if self.modified_ns is not None:
            os.utime(fd, ns=(self.modified_ns, self.modified_ns))


NO_ATTRIBUTES: Final = Attributes(None, None, None)


def attributes_of(params: Params) -> Attributes:
    """Return what a request asks for.

    Raises:
        OperationError: It is nothing of the kind.
    """
    modified_ms = optional_natural(params, "modifiedAtMs")
    return Attributes(
        file_mode(params, "createMode"),
        file_mode(params, "fileMode"),
        None if modified_ms is None else _ns(modified_ms),
    )


def kept_of(path: bytes) -> Kept | None:
    """Return what the file at a path hands on, if there is a regular one that may be written to.

    Raises:
        OSError: As the system says; the file may not be written to, for instance.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    try:
        return read_kept(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def read_kept(fd: int) -> Kept:
    """Return what an open file would hand on."""
    return Kept(os.fstat(fd), _extended(fd))


def _extended(fd: int) -> list[tuple[str, bytes]]:
    if not hasattr(os, "listxattr"):
        return []
    try:
        return [(name, os.getxattr(fd, name)) for name in os.listxattr(fd)]
    except OSError:
        return []  # a file system without them


def set_metadata(params: Params) -> bytes:
    """Set permission bits and times; return the JSON text of the answer to ``fs/setMetadata``.

    Raises:
        OperationError: A link that may not be followed.
        OSError: As the system says.
    """
    path = path_of(params)
    if flag(params, "followSymlinks", default=True) or not split(path):
        _set(path, params)
        return EMPTY
    parent, name = open_parent(path)
    try:
        # Where O_PATH does not exist, reading is the nearest thing.
        flags = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OperationError(INVALID_REQUEST, "path is a symbolic link")
        # An O_PATH descriptor takes neither bits nor times itself; its place in /proc does.
        _set(f"/proc/self/fd/{fd}".encode() if hasattr(os, "O_PATH") else fd, params)
    finally:
        os.close(fd)
    return EMPTY


def _set(place: bytes | int, params: Params) -> None:
    mode = file_mode(params, "fileMode")
    modified = optional_natural(params, "modifiedAtMs")
    accessed = optional_natural(params, "accessedAtMs")
    if mode is not None:
        os.chmod(place, mode)
    if flag(params, "now", default=False):
        os.utime(place)
    elif modified is not None or accessed is not None:
        new = os.stat(place).st_mtime_ns if modified is None else _ns(modified)
        os.utime(place, ns=(new if accessed is None else _ns(accessed), new))


def _ns(milliseconds: int) -> int:
    if milliseconds > _MS_MAX:
        raise OperationError(INVALID_REQUEST, "a time that no file can have")
    return milliseconds * _NS_PER_MS
