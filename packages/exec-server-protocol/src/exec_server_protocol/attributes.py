"""Permission bits, times and links: ``fs/setMetadata``, ``fs/createSymlink``, ``fs/readLink``.

Extensions, all of them: see ``CAPABILITY_FILE_MODES`` and ``CAPABILITY_LINKS``.
"""

from __future__ import annotations

from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._sandbox_field import WireSandbox
from ._scalars import Base64Bytes, FileMode, UnsignedInt

__all__ = [
    "FsCreateSymlinkParams",
    "FsCreateSymlinkResult",
    "FsReadLinkParams",
    "FsReadLinkResult",
    "FsSetMetadataParams",
    "FsSetMetadataResult",
]


class FsSetMetadataParams(WireModel):
    """Sets permission bits and times; what is absent stays. Extension: ``fsFileModes``."""

    path: WirePathUri
    follow_symlinks: bool | None = None
    """``None`` means true; false refuses links anywhere on the way."""
    sandbox: WireSandbox | None = None
    file_mode: FileMode | None = None
    modified_at_ms: UnsignedInt | None = None
    """Milliseconds since 1970."""
    accessed_at_ms: UnsignedInt | None = None
    """Likewise; the time of modification when it is absent and that is given."""
    now: bool | None = None
    """Both times become the executor's time of the moment, whatever the others say."""


class FsSetMetadataResult(WireModel):
    """Set."""


class FsCreateSymlinkParams(WireModel):
    """Makes a symbolic link. Extension: ``fsLinks``."""

    path: WirePathUri
    target_base64: Base64Bytes
    """What it says, byte for byte; not looked at."""
    overwrite: bool = False
    """Replace what is there, unless that is a directory; without it that is an error."""
    sandbox: WireSandbox | None = None


class FsCreateSymlinkResult(WireModel):
    """Made."""


class FsReadLinkParams(WireModel):
    """Asks what a symbolic link says. Extension: ``fsLinks``."""

    path: WirePathUri
    sandbox: WireSandbox | None = None


class FsReadLinkResult(WireModel):
    """Text of a link."""

    target_base64: Base64Bytes
