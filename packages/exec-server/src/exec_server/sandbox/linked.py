"""Other names of the server's code, in the one place where they usually are: the cache of uv.

uv installs by hard links. A policy that lets a build write the cache would let it write the server.
Other hard links cannot be found; programs that have some are compared before each use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice

__all__ = ["linked"]

_FILES_MAX = 100_000
"""Looked at in an installation or a cache: a second's worth."""


def linked(roots: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return what has to be kept from being written where these may be. May block.

    Args:
        roots: Resolved paths.
    """
    archives = [folder for folder in _archives(os.environ) if os.path.isdir(folder)]
    if not archives:
        return ()
    found: list[bytes] = []
    for root in roots:
        for archive in archives:
            if (archive + b"/").startswith(root.rstrip(b"/") + b"/") or root.startswith(archive):
                found += _same(archive)
    return tuple(dict.fromkeys(found))


def _archives(environ: Mapping[str, str]) -> list[bytes]:
    home = os.path.expanduser("~")
    caches = [
        environ.get("UV_CACHE_DIR"),
        os.path.join(environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "uv"),
    ]
    paths = (os.path.realpath(os.path.join(path, "archive-v0")) for path in caches if path)
    return list(dict.fromkeys(map(os.fsencode, paths)))


@cache
def _same(archive: bytes) -> tuple[bytes, ...]:
    """Return the unpacked distributions that have files in common with what is installed here."""
    own = _own_files()
    with os.scandir(archive) as entries:
        folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return tuple(path for path in folders if own and not own.isdisjoint(_linked_files(path)))


@cache
def _own_files() -> frozenset[tuple[int, int]]:
    folders = [os.fsencode(path) for path in sys.path if path.endswith("-packages")]
    return frozenset(file for folder in folders for file in _linked_files(folder))


def _linked_files(folder: bytes) -> Iterator[tuple[int, int]]:
    """Yield the device and number of files with other names, two levels deep: enough to tell."""
    return islice(_below(folder, 2), _FILES_MAX)


def _below(folder: bytes, levels: int) -> Iterator[tuple[int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir() and levels > 1:
            yield from _below(entry.path, levels - 1)
        elif entry.is_file() and entry.stat().st_nlink > 1:
            status = entry.stat()
            yield status.st_dev, status.st_ino
