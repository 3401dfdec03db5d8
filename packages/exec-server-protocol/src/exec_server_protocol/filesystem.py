"""``fs/*``: params, results and notifications.

``sandbox`` absent and ``sandbox`` null both mean an unconfined request. Members marked as
*extension* are left out of the JSON when unset; a client sends them only to an executor
that announced the capability named beside them.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._sandbox_field import WireSandbox
from ._scalars import Base64Bytes, UnsignedInt
from .limits import WATCHED_PATHS_MAX

__all__ = [
    "CAPABILITY_ATOMIC_WRITE",
    "CAPABILITY_FILE_WRITE_STREAMING",
    "CAPABILITY_MOVE",
    "CAPABILITY_OPEN_UPDATE",
    "CAPABILITY_SANDBOXED_FILE_STREAMING",
    "DirectoryEntry",
    "FsCanonicalizeParams",
    "FsCanonicalizeResult",
    "FsCloseParams",
    "FsCloseResult",
    "FsCopyParams",
    "FsCopyResult",
    "FsCreateDirectoryParams",
    "FsCreateDirectoryResult",
    "FsGetMetadataParams",
    "FsGetMetadataResult",
    "FsMissingChangedNotification",
    "FsMoveParams",
    "FsMoveResult",
    "FsOpenParams",
    "FsOpenResult",
    "FsReadBlockParams",
    "FsReadBlockResult",
    "FsReadDirectoryParams",
    "FsReadDirectoryResult",
    "FsReadFileParams",
    "FsReadFileResult",
    "FsRemoveParams",
    "FsRemoveResult",
    "FsWalkParams",
    "FsWalkResult",
    "FsWatchMissingParams",
    "FsWatchMissingResult",
    "FsWriteBlockParams",
    "FsWriteBlockResult",
    "FsWriteFileParams",
    "FsWriteFileResult",
    "WalkEntry",
    "WalkError",
    "WalkOptions",
]

CAPABILITY_ATOMIC_WRITE: Final = "fsAtomicWrite"
"""``atomic`` of ``fs/writeFile``."""
CAPABILITY_MOVE: Final = "fsMove"
"""``fs/move``."""
CAPABILITY_OPEN_UPDATE: Final = "fsOpenUpdate"
"""``update`` as the mode of ``fs/open``."""
CAPABILITY_FILE_WRITE_STREAMING: Final = "fileWriteStreaming"
"""``fs/writeBlock``. Not an extension; older executors only read in blocks."""
CAPABILITY_SANDBOXED_FILE_STREAMING: Final = "sandboxedFileStreaming"
"""``fs/open`` with a ``sandbox``. Not an extension; older executors refuse it."""


class FsReadFileParams(WireModel):
    """Reads a whole regular file, at most 512 MiB."""

    path: WirePathUri
    follow_symlinks: bool | None = None
    """``None`` means true; false refuses links anywhere on the way."""
    sandbox: WireSandbox | None = None


class FsReadFileResult(WireModel):
    """The content."""

    data_base64: Base64Bytes


class FsWriteFileParams(WireModel):
    """Writes a whole file in place; its folder has to exist."""

    path: WirePathUri
    data_base64: str
    """Strict base64. Checked where the file is written, with an error code of its own."""
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None
    atomic: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    """Write beside the file and rename: readers see the old or the new content, never a part.
    Extension: ``fsAtomicWrite``."""


class FsWriteFileResult(WireModel):
    """Written."""


class FsCreateDirectoryParams(WireModel):
    """Creates a directory."""

    path: WirePathUri
    recursive: bool | None = None
    """``None`` means true: parents are created, and an existing directory is fine."""
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None


class FsCreateDirectoryResult(WireModel):
    """Created, or there already."""


class FsGetMetadataParams(WireModel):
    """Asks what is at a path."""

    path: WirePathUri
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None


class FsGetMetadataResult(WireModel):
    """What is there: the target of a link, with a note that there is a link."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    size: UnsignedInt
    """In bytes."""
    created_at_ms: UnsignedInt
    """Milliseconds since 1970; 0 when unknown."""
    modified_at_ms: UnsignedInt


class FsCanonicalizeParams(WireModel):
    """Resolves every link in a path that exists."""

    path: WirePathUri
    sandbox: WireSandbox | None = None


class FsCanonicalizeResult(WireModel):
    """The path without links."""

    path: WirePathUri


class FsReadDirectoryParams(WireModel):
    """Lists a directory."""

    path: WirePathUri
    sandbox: WireSandbox | None = None


class DirectoryEntry(WireModel):
    """One name. The flags are those of a link's target."""

    file_name: str
    """Bytes that are not UTF-8 are replaced."""
    is_directory: bool
    is_file: bool


class FsReadDirectoryResult(WireModel):
    """The entries, in no order; what cannot be looked at is left out."""

    entries: list[DirectoryEntry]


class WalkOptions(WireModel):
    """How far to walk."""

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
    """What was found."""

    entries: list[WalkEntry]
    errors: list[WalkError]
    truncated: bool
    """A limit was reached, or 4 MiB of answer."""


class FsRemoveParams(WireModel):
    """Removes a file, a link or a tree."""

    path: WirePathUri
    recursive: bool | None = None
    """``None`` means true."""
    force: bool | None = None
    """``None`` means true: what is missing is no error."""
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None


class FsRemoveResult(WireModel):
    """Removed, or missing."""


class FsCopyParams(WireModel):
    """Copies a file, or a tree."""

    source_path: WirePathUri
    destination_path: WirePathUri
    recursive: bool
    """Required: a directory is copied only with true."""
    sandbox: WireSandbox | None = None


class FsCopyResult(WireModel):
    """Copied."""


class FsMoveParams(WireModel):
    """Renames, also from one file system to another. Extension: ``fsMove``."""

    source_path: WirePathUri
    destination_path: WirePathUri
    overwrite: bool = False
    """Replace a file that is there; without it that is an error."""
    sandbox: WireSandbox | None = None


class FsMoveResult(WireModel):
    """Moved."""


class FsOpenParams(WireModel):
    """Opens a regular file, for reading or for writing."""

    handle_id: str
    """Chosen by the client, at most 32 bytes of UTF-8, unique on the connection."""
    path: WirePathUri
    mode: Literal["read", "replace", "update"] = "read"
    """``update`` keeps what the file holds, and makes it when it is missing: for going on
    with a transfer that broke. Extension: ``fsOpenUpdate``."""
    sandbox: WireSandbox | None = None


class FsOpenResult(WireModel):
    """Open, until it is closed or the connection ends."""

    handle_id: str


class FsReadBlockParams(WireModel):
    """Reads from an open file."""

    handle_id: str
    offset: UnsignedInt
    len: UnsignedInt
    """1 to 1,048,576 bytes."""


class FsReadBlockResult(WireModel):
    """A piece of the file."""

    chunk: Base64Bytes
    eof: bool
    """Fewer bytes came back than were asked for."""


class FsWriteBlockParams(WireModel):
    """Writes to an open file."""

    handle_id: str
    offset: UnsignedInt
    chunk: Base64Bytes
    """1 to 1,048,576 bytes."""


class FsWriteBlockResult(WireModel):
    """Written."""


class FsCloseParams(WireModel):
    """Closes an open file; an unknown id is no error."""

    handle_id: str


class FsCloseResult(WireModel):
    """Closed."""


class FsWatchMissingParams(WireModel):
    """Asks to be told once when something that is missing may have appeared."""

    watch_id: UnsignedInt
    missing: list[WirePathUri] = Field(max_length=WATCHED_PATHS_MAX)
    present: WirePathUri | None = None


class FsWatchMissingResult(WireModel):
    """Whether there will be a notification."""

    watching: bool


class FsMissingChangedNotification(WireModel):
    """One of the paths may exist now. Sent once for each watch."""

    watch_id: UnsignedInt
