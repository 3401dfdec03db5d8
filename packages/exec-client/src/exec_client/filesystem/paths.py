"""Paths as callers write them, and as the wire wants them."""

from __future__ import annotations

import os
from typing import TypeAlias

from exec_server_protocol.path_uri import InvalidPathError, PathUri

__all__ = ["FilePath", "name_of", "native", "to_uri"]

FilePath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes] | PathUri"
"""A path on an executor: absolute, relative to the executor's own folder, or a ``file:`` URI.

Names that are not UTF-8 are given as bytes, or as ``os.fsdecode`` spells them.
"""


def to_uri(path: FilePath, cwd: PathUri | None) -> PathUri:
    """Return the URI of a path.

    ``.`` and ``..`` collapse without a look at the disk. A relative path whose name begins
    with ``file:`` is written as ``./file:…``.

    Args:
        path: As the caller wrote it.
        cwd: Where relative paths begin: the executor's working directory.

    Raises:
        InvalidPathError: It is empty, has a NUL, or is no path of the executor's system.
    """
    if isinstance(path, PathUri):
        return path
    text = os.fsdecode(path)
    if not text:
        raise InvalidPathError("a path cannot be empty")
    if "\0" in text:
        raise InvalidPathError("a path cannot contain NUL")
    if text.startswith("file:"):
        return PathUri.parse(text)
    if text.startswith("/") and (cwd is None or not cwd.is_windows):
        return PathUri.from_native(text)
    if cwd is None:
        raise InvalidPathError("the executor did not tell its folder: give an absolute path")
    return cwd.join(text)


def native(uri: PathUri) -> str:
    """Return a path as ``str``, the way ``os.fsdecode`` spells bytes that are not UTF-8.

    What means nothing on this system, a Windows path say, stays a URI.
    """
    try:
        return os.fsdecode(uri.to_native())
    except InvalidPathError:
        return str(uri)


def name_of(uri: PathUri) -> str:
    """Return the last segment of a path, empty for a root."""
    return native(uri).rstrip("/").rpartition("/")[2]
