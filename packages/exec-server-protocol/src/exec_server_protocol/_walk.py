"""``fs/walk``: params and result. Public in ``filesystem``."""

from __future__ import annotations

from typing import Literal

from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._sandbox_field import WireSandbox
from ._scalars import UnsignedInt

__all__ = ["FsWalkParams", "FsWalkResult", "WalkEntry", "WalkError", "WalkOptions"]


class WalkOptions(WireModel):
    """Limits of a walk."""

    max_depth: UnsignedInt
    """0 for the children of the root only; at most 64."""
    max_directories: UnsignedInt
    """1 to 10,000."""
    max_entries: UnsignedInt
    """1 to 50,000."""
    follow_directory_symlinks: bool
    prune_hidden_directories: bool = False
    """List directories whose name starts with a dot, but do not enter them."""


class FsWalkParams(WireModel):
    """Lists a tree, breadth first, sorted within each directory."""

    path: WirePathUri
    options: WalkOptions
    sandbox: WireSandbox | None = None


class WalkEntry(WireModel):
    """A directory or a regular file below the root."""

    path: WirePathUri
    kind: Literal["directory", "file"]


class WalkError(WireModel):
    """A place that could not be looked at."""

    path: WirePathUri
    message: str


class FsWalkResult(WireModel):
    """Entries that a walk found."""

    entries: list[WalkEntry]
    errors: list[WalkError]
    truncated: bool
    """A limit was reached, or 4 MiB of answer."""
