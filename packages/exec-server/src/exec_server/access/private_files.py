"""Reading secrets and keys from files that nobody else should be able to touch.

What counts is whether others get at a file. One that anybody may read is safe in a folder that
nobody else may enter, which is where a service's secrets often are.

Errors name the option and not the path: they also go into the log when files are read again.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from ..errors import ConfigError

__all__ = ["check_permissions", "read_key_file", "read_secret_file", "reason_of"]

MAX_BYTES: Final = 1024 * 1024
"""No token, key or key set is as long; what is was not meant."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ_OR_WRITE: Final = stat.S_IRGRP | stat.S_IROTH | _OTHERS_WRITE

_OTHERS_ENTER: Final = stat.S_IXGRP | stat.S_IXOTH

_UNLESS: Final = "or pass --allow-insecure-permissions"


def check_permissions(option: str, path: str, status: os.stat_result, *, secret: bool) -> None:
    """Refuse a file that other users can change, or read when it is secret.

    Args:
        option: What names the file.
        path: Where it is.
        status: Of the open file, so that it cannot be exchanged after the check.
        secret: Whether reading it is enough to come in.

    Raises:
        ConfigError: They can, or it belongs to neither this user nor root.
    """
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{option}: the file belongs to another user: `chown` it, {_UNLESS}")
    forbidden = _OTHERS_READ_OR_WRITE if secret else _OTHERS_WRITE
    if not status.st_mode & forbidden or _is_out_of_reach(path):
        return
    what, mode = ("read or change", "600") if secret else ("change", "go-w")
    raise ConfigError(f"{option}: other users may {what} the file: `chmod {mode}` it, {_UNLESS}")


def _is_out_of_reach(path: str) -> bool:
    """Whether a folder above a file lets in only its owner, this user or root."""
    folder = os.path.dirname(os.path.realpath(path))
    while True:
        status = os.stat(folder)
        if status.st_uid in (0, os.geteuid()) and not status.st_mode & _OTHERS_ENTER:
            return True
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above


def read_secret_file(option: str, path: str, *, allow_insecure: bool) -> bytes:
    """Return what a file holds that nobody else may read, without surrounding space.

    Raises:
        ConfigError: It cannot be read, is empty, or is open to others.
    """
    return _read(option, path, secret=True, allow_insecure=allow_insecure)


def read_key_file(option: str, path: str, *, allow_insecure: bool) -> bytes:
    """Return what a file holds that nobody else may change, without surrounding space.

    Raises:
        ConfigError: It cannot be read, is empty, or is open to changes by others.
    """
    return _read(option, path, secret=False, allow_insecure=allow_insecure)


def _read(option: str, path: str, *, secret: bool, allow_insecure: bool) -> bytes:
    try:
        # Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: cannot open the file: {reason_of(error)}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{option}: not a regular file")
        if not allow_insecure:
            check_permissions(option, path, status, secret=secret)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{option}: cannot read the file: {reason_of(error)}") from error
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{option}: the file is larger than a mebibyte")
    content = content.strip()
    if not content:
        raise ConfigError(f"{option}: the file is empty")
    return content


def reason_of(error: OSError | ValueError) -> str:
    """Return what was wrong with a file, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or "not a path"
