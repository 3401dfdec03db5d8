"""Targets of a ``.git`` file: the folders that hold a linked work tree's repository."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import Final

from .errors import PolicyNotEnforceableError

__all__ = ["git_folders"]

_MAX_BYTES: Final = 8192
"""More than a path can be long."""


def git_folders(path: bytes) -> list[bytes]:
    """Return the folders that a ``.git`` file and what it points to refer to.

    Hooks and configuration of a linked work tree lie in the *common* folder, so that it
    needs the same protection. Not every such file points anywhere.
    """
    text = _read(path)
    if not text.startswith(b"gitdir:"):
        return []
    folder = posixpath.join(posixpath.dirname(path), text.removeprefix(b"gitdir:").strip())
    common = _read(posixpath.join(folder, b"commondir")).strip()
    return [folder, posixpath.join(folder, common)] if common else [folder]


def _read(path: bytes) -> bytes:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise PolicyNotEnforceableError("cannot read where a .git file points") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)
