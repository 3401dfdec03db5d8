"""``fs/*``: params, results and notifications.

``sandbox`` absent and ``sandbox`` null both mean an unconfined request. Members marked as
*extension* are left out of the JSON when unset; a client sends them only to an executor
that announced the capability named beside them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._sandbox_field import WireSandbox
from ._scalars import Base64Bytes, FileMode, UnsignedInt
from ._walk import FsWalkParams, FsWalkResult, WalkEntry, WalkError, WalkOptions
from .capabilities import (
    CAPABILITY_ATOMIC_WRITE,
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_MODES,
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_LINKS,
    CAPABILITY_MOVE,
    CAPABILITY_OPEN_UPDATE,
    CAPABILITY_SANDBOXED_FILE_STREAMING,
)
from .limits import WATCHED_PATHS_MAX

__all__ = [
    "CAPABILITY_ATOMIC_WRITE",
    "CAPABILITY_CREATE_APPEND",
    "CAPABILITY_FILE_MODES",
    "CAPABILITY_FILE_WRITE_STREAMING",
    "CAPABILITY_LINKS",
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


def _extension() -> Any:
    """Return the field of an optional member that is left out of the JSON when it is unset."""
    return Field(default=None, exclude_if=lambda value: value is None)


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
    exclusive: bool | None = _extension()
    """Something at the path, a link included, is an error (``EEXIST``).
    Extension: ``fsCreateAppend``."""
    create_mode: FileMode | None = _extension()
    """Permission bits of a file that is made, whatever the umask; one that is there keeps its
    own. Extension, as the next three: ``fsFileModes``."""
    file_mode: FileMode | None = _extension()
    """Permission bits, also of a file that is there."""
    modified_at_ms: UnsignedInt | None = _extension()
    """Time of modification, milliseconds since 1970."""
    flush: bool | None = _extension()
    """False with ``atomic`` does not wait for the disk: a reader still sees one content or the
    other; after a power cut the file may be empty."""


class FsWriteFileResult(WireModel):
    """Written."""


class FsCreateDirectoryParams(WireModel):
    """Creates a directory."""

    path: WirePathUri
    recursive: bool | None = None
    """``None`` means true: parents are created, and an existing directory is fine."""
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None
    create_mode: FileMode | None = _extension()
    """Permission bits of the directory, not of its parents, if it is made.
    Extension: ``fsFileModes``."""


class FsCreateDirectoryResult(WireModel):
    """Created, or there already."""


class FsGetMetadataParams(WireModel):
    """Asks what is at a path."""

    path: WirePathUri
    follow_symlinks: bool | None = None
    sandbox: WireSandbox | None = None
    details: Literal["target", "link"] | None = _extension()
    """Asks for the last three members of the result; ``link`` describes a link itself instead of
    what it leads to. Extension: ``fsFileModes``."""


class FsGetMetadataResult(WireModel):
    """Metadata of a path: of a link, those of its target, with a note that there is a link."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    size: UnsignedInt
    """In bytes."""
    created_at_ms: UnsignedInt
    """Milliseconds since 1970; 0 when unknown."""
    modified_at_ms: UnsignedInt
    file_mode: FileMode | None = _extension()
    """Permission bits, 12 of them. This and the next two with ``details`` only."""
    user_id: UnsignedInt | None = _extension()
    group_id: UnsignedInt | None = _extension()


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
    details: bool | None = _extension()
    """Asks for every entry, links that lead nowhere included, with the further members.
    Extension: ``fsLinks``."""


class DirectoryEntry(WireModel):
    """One name. The flags are those of a link's target."""

    file_name: str
    """Bytes that are not UTF-8 are replaced."""
    is_directory: bool
    is_file: bool
    is_symlink: bool | None = _extension()
    """This and all below with ``details`` only."""
    size: UnsignedInt | None = _extension()
    """In bytes; of a link's target, as the next two."""
    modified_at_ms: UnsignedInt | None = _extension()
    file_mode: FileMode | None = _extension()
    name_base64: Base64Bytes | None = _extension()
    """The name as it is, when it is not UTF-8."""


class FsReadDirectoryResult(WireModel):
    """The entries, in no order; without ``details``, what cannot be looked at is left out."""

    entries: list[DirectoryEntry]


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
    atomic: bool | None = _extension()
    """Each file goes beside its target first and is renamed. Extension: ``fsFileModes``."""
    follow_symlinks: bool | None = _extension()
    """Copy what links lead to, instead of the links. Extension: ``fsLinks``."""
    list_skipped: bool | None = _extension()
    """Asks for ``skipped`` in the result. Extension: ``fsLinks``."""


class FsCopyResult(WireModel):
    """Copied."""

    skipped: list[WirePathUri] | None = _extension()
    """What was left out: it is no file, directory or link, or it leads into a circle. The first
    256 KiB of them."""


class FsMoveParams(WireModel):
    """Renames, also from one file system to another. Extension: ``fsMove``."""

    source_path: WirePathUri
    destination_path: WirePathUri
    overwrite: bool = False
    """Replace a file that is there; without it that is an error."""
    sandbox: WireSandbox | None = None
    keep_attributes: bool | None = _extension()
    """A file that replaces another takes over its permission bits, owner and access list. What
    cannot be taken over is an error, and nothing is moved. Extension, as the next three:
    ``fsFileModes``."""
    create_mode: FileMode | None = _extension()
    """Permission bits, unless those of a replaced file are taken over. Of files only."""
    file_mode: FileMode | None = _extension()
    """Permission bits in any case. Of files only."""
    modified_at_ms: UnsignedInt | None = _extension()
    """Time of modification, milliseconds since 1970. Of files only."""


class FsMoveResult(WireModel):
    """Moved."""


class FsOpenParams(WireModel):
    """Opens a regular file, for reading or for writing."""

    handle_id: str
    """Chosen by the client, at most 32 bytes of UTF-8, unique on the connection."""
    path: WirePathUri
    mode: Literal["read", "replace", "update", "create", "extend", "modify"] = "read"
    """``update`` keeps what the file holds, and makes it when it is missing: for going on
    with a transfer that broke. Extension: ``fsOpenUpdate``. ``create`` makes a file that must not
    be there; ``extend`` writes every block at the end, whatever its offset; ``modify`` reads and
    writes a file that must be there. Extension: ``fsCreateAppend``."""
    sandbox: WireSandbox | None = None
    create_mode: FileMode | None = _extension()
    """Permission bits of a file that is made, whatever the umask. Extension: ``fsFileModes``."""
    lock: bool | None = _extension()
    """Of a file to be written: refuse one (``EAGAIN``) that another open handle has locked.
    Extension: ``fsCreateAppend``."""


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
    """Asks for one notification when something that is missing may have appeared."""

    watch_id: UnsignedInt
    missing: list[WirePathUri] = Field(max_length=WATCHED_PATHS_MAX)
    present: WirePathUri | None = None


class FsWatchMissingResult(WireModel):
    """Promise of a notification, or none."""

    watching: bool


class FsMissingChangedNotification(WireModel):
    """One of the paths may exist now. Sent once for each watch."""

    watch_id: UnsignedInt
