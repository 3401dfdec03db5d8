"""Metadata of a path: ``fs/getMetadata``, ``fs/canonicalize``, ``fs/checkMissing``."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from exec_server_protocol.errors import INVALID_PARAMS, INVALID_REQUEST
from exec_server_protocol.path_uri import PathUri

from .answers import dump
from .errors import OperationError
from .nofollow import open_parent, split
from .params import Params, flag, path_of, uri_to_path
from .system_calls import birth_time_ms

__all__ = ["canonicalize", "check_missing", "get_metadata"]

_DETAILS: Final = (None, "target", "link")

_CHECKED_PATHS_MAX: Final = 1024
"""Paths of one ``fs/checkMissing``: a watch names a handful for each directory level."""

_ABSENT: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.EPERM}
)
"""Reasons not to see a path. It may appear later."""


def get_metadata(params: Params) -> bytes:
    """Return the JSON text of the answer to ``fs/getMetadata``.

    Raises:
        OperationError: A link that may not be followed.
        OSError: As the system says.
    """
    path = path_of(params)
    details = params.get("details")
    if details not in _DETAILS:
        raise OperationError(INVALID_PARAMS, "details is none of target and link")
    detailed = details is not None
    if flag(params, "followSymlinks", default=True):
        status = os.lstat(path)
        is_symlink = stat.S_ISLNK(status.st_mode)
        if is_symlink and details == "link":
            return _describe(status, 0, is_symlink=True, detailed=True)
        if is_symlink:
            status = os.stat(path)
        return _describe(status, birth_time_ms(path), is_symlink=is_symlink, detailed=detailed)
    if not split(path):
        return _describe(os.lstat(b"/"), birth_time_ms(b"/"), is_symlink=False, detailed=detailed)
    parent, name = open_parent(path)
    try:
        # A place in the tree, not an open file: works for sockets, FIFOs, unreadable files.
        o_path = getattr(os, "O_PATH", None)
        if o_path is None:
            status, birth = os.lstat(name, dir_fd=parent), 0
        else:
            fd = os.open(name, o_path | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                status, birth = os.fstat(fd), birth_time_ms(b"", fd=fd)
            finally:
                os.close(fd)
    finally:
        os.close(parent)
    if stat.S_ISLNK(status.st_mode):
        raise OperationError(INVALID_REQUEST, "path is a symbolic link")
    return _describe(status, birth, is_symlink=False, detailed=detailed)


def canonicalize(params: Params) -> bytes:
    """Return the JSON text of the answer to ``fs/canonicalize``.

    Raises:
        OSError: As the system says: everything on the path has to exist.
    """
    path = os.path.realpath(path_of(params), strict=True)
    return dump({"path": str(PathUri.from_native(path))})


def check_missing(params: Params) -> bytes:
    """Return which of ``paths`` exist, as ``{"present":[…]}``: the URIs as they were given.

    Not a method of the wire: a server asks this on behalf of ``fs/watchMissing``. A link
    exists, wherever it leads; what may not be looked at does not.

    Raises:
        OperationError: Not a list of path URIs, or more than 1024.
    """
    uris = params.get("paths")
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise OperationError(INVALID_PARAMS, "paths is missing or of another type")
    if len(uris) > _CHECKED_PATHS_MAX:
        raise OperationError(INVALID_REQUEST, f"more than {_CHECKED_PATHS_MAX} paths")
    return dump({"present": [uri for uri in uris if _exists(uri_to_path(uri))]})


def _exists(path: bytes) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def _describe(
    status: os.stat_result, created_at_ms: int, *, is_symlink: bool, detailed: bool
) -> bytes:
    if not created_at_ms:
        # macOS has it in every status; on Linux it comes from a call of its own.
        created_at_ms = max(0, int(getattr(status, "st_birthtime", 0) * 1000))
    # Formatted by hand: this is the operation asked for most often.
    is_directory = "true" if stat.S_ISDIR(status.st_mode) else "false"
    is_file = "true" if stat.S_ISREG(status.st_mode) else "false"
    more = ""
    if detailed:
        mode = stat.S_IMODE(status.st_mode)
        more = f',"fileMode":{mode},"userId":{status.st_uid},"groupId":{status.st_gid}'
    return (
        f'{{"isDirectory":{is_directory},"isFile":{is_file},'
        f'"isSymlink":{"true" if is_symlink else "false"},"size":{status.st_size},'
        f'"createdAtMs":{created_at_ms},'
        f'"modifiedAtMs":{max(0, status.st_mtime_ns // 1_000_000)}{more}}}'
    ).encode("ascii")
