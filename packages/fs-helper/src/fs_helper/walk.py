"""``fs/walk``: a tree, breadth first, sorted within each directory, within limits."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from exec_server_protocol.errors import INVALID_PARAMS, INVALID_REQUEST
from exec_server_protocol.limits import (
    WALK_MAX_DEPTH,
    WALK_MAX_DIRECTORIES,
    WALK_MAX_ENTRIES,
    WALK_RESPONSE_MAX_BYTES,
)
from exec_server_protocol.path_uri import PathUri

from .answers import Pieces, join
from .errors import OperationError, errno_text
from .listing import Child, children
from .params import Params, flag, natural, path_of

__all__ = ["walk"]

_ITEM_BYTES: Final = 64
"""What an item costs of the budget besides its texts: its keys and punctuation."""

_PLAIN: Final = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz."
_UNKNOWN_NAME: Final = errno_text(errno.ENOENT)
"""A name that is not UTF-8 cannot be found under the name that would be shown."""


class _Stop(Exception):
    """No more items."""


class _Walk:
    """One walk: what was found, and what is left of each limit."""

    def __init__(self, root: bytes, options: dict[str, Any]) -> None:
        self._max_depth = natural(options, "maxDepth")
        self._directories_left = natural(options, "maxDirectories")
        self._entries_left = natural(options, "maxEntries")
        if not self._directories_left or not self._entries_left:
            raise OperationError(INVALID_REQUEST, "the limits of a walk must be above zero")
        if (
            self._max_depth > WALK_MAX_DEPTH
            or self._directories_left > WALK_MAX_DIRECTORIES
            or self._entries_left > WALK_MAX_ENTRIES
        ):
            raise OperationError(
                INVALID_REQUEST,
                f"the limits of a walk may be at most: depth={WALK_MAX_DEPTH}, "
                f"directories={WALK_MAX_DIRECTORIES}, entries={WALK_MAX_ENTRIES}",
            )
        self._follow = flag(options, "followDirectorySymlinks", default=False)
        self._prune = flag(options, "pruneHiddenDirectories", default=False)
        self._root = root
        self._budget = WALK_RESPONSE_MAX_BYTES
        self._visited: set[bytes] = set()
        self._queue: deque[tuple[bytes, int]] = deque()
        self.entries: list[str] = []
        self.errors: list[str] = []
        self.truncated = False

    def run(self) -> None:
        """Walk.

        Raises:
            OSError: There is no root.
        """
        status = os.stat(self._root)
        if not stat.S_ISDIR(status.st_mode):
            return
        if not self._follow and os.path.islink(self._root):
            return
        self._enter(self._root, 0)
        try:
            while self._queue:
                self._list(*self._queue.popleft())
        except _Stop:
            self.truncated = True

    def _enter(self, path: bytes, depth: int) -> None:
        """Queue a directory, unless it was entered under another name or the budget is spent."""
        if self._follow:
            # Only links can lead to a place twice.
            try:
                identity = os.path.realpath(path, strict=True)
            except OSError as error:
                self._report(path, errno_text(error.errno or errno.EIO))
                return
            if identity in self._visited:
                return
        if not self._directories_left:
            self.truncated = True
            return
        self._directories_left -= 1
        if self._follow:
            self._visited.add(identity)
        self._queue.append((path, depth))

    def _list(self, path: bytes, depth: int) -> None:
        try:
            found = [(child.name.decode("utf-8", "replace"), child) for child in children(path)]
        except OSError as error:
            self._report(path, errno_text(error.errno or errno.EIO))
            return
        # Code points sort as their UTF-8 does. The name on disk settles what looks alike.
        found.sort(key=lambda item: (item[0], item[1].name))
        base = path if path.endswith(b"/") else path + b"/"
        prefix = str(PathUri.from_native(path)).removesuffix("/") + "/"
        if "%00" in prefix:
            prefix = ""  # an opaque URI, which cannot be extended
        for shown, child in found:
            if not self._entries_left:
                raise _Stop
            self._entries_left -= 1
            self._visit(base + child.name, shown, child, prefix, depth)

    def _visit(self, path: bytes, shown: str, child: Child, prefix: str, depth: int) -> None:
        if "\ufffd" in shown and shown.encode() != child.name:
            self._report(os.path.dirname(path) + b"/" + shown.encode(), _UNKNOWN_NAME)
            return
        if child.is_symlink and not (self._follow and child.is_directory):
            return
        if not child.is_directory and not child.is_file:
            return
        if prefix and not child.name.translate(None, _PLAIN):
            uri = prefix + shown
        else:
            uri = str(PathUri.from_native(path))
        self._spend(len(uri))
        kind = "directory" if child.is_directory else "file"
        # A path URI has no character that JSON escapes, and our messages have none either.
        self.entries.append(f'{{"path":"{uri}","kind":"{kind}"}}')
        if not child.is_directory or depth >= self._max_depth:
            return
        if self._prune and child.name.startswith(b"."):
            return
        self._enter(path, depth + 1)

    def _report(self, path: bytes, message: str) -> None:
        uri = str(PathUri.from_native(path))
        self._spend(len(uri) + len(message))
        self.errors.append(f'{{"path":"{uri}","message":"{message}"}}')

    def _spend(self, size: int) -> None:
        self._budget -= size + _ITEM_BYTES
        if self._budget < 0:
            raise _Stop


def walk(params: Params) -> Pieces:
    """Produce the JSON text of the answer to ``fs/walk``.

    A root that is no directory, or a link while links are not followed, has nothing below
    it. A directory that cannot be read is an item of ``errors``. The order of the rules is
    part of the contract: every child that can be looked at costs an entry, shown or not.

    Raises:
        OperationError: Limits of zero or above the maximum; checked before the root.
        OSError: There is no root.
    """
    root = path_of(params)
    options = params.get("options")
    if not isinstance(options, dict):
        raise OperationError(INVALID_PARAMS, "options is missing or of another type")
    state = _Walk(root, options)
    state.run()
    return (yield from join(_texts(state)))


def _texts(state: _Walk) -> Iterator[str]:
    yield '{"entries":['
    yield from _separated(state.entries)
    yield '],"errors":['
    yield from _separated(state.errors)
    yield '],"truncated":true}' if state.truncated else '],"truncated":false}'


def _separated(items: list[str]) -> Iterator[str]:
    separator = ""
    for item in items:
        yield separator + item
        separator = ","
