"""Permissions of a sandbox: a context's ``permissions`` member, snake_case throughout."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from ._model import WireModel
from ._path_uri_field import WirePathUri

__all__ = [
    "Access",
    "AsGiven",
    "DisabledPermissions",
    "EntryPath",
    "ExternalPermissions",
    "FileSystemEntry",
    "FileSystemPolicy",
    "FixedPlace",
    "GlobPatternEntryPath",
    "ManagedPermissions",
    "NetworkAccess",
    "PathEntryPath",
    "Permissions",
    "ProjectRootsPlace",
    "RestrictedFileSystem",
    "SpecialEntryPath",
    "SpecialPath",
    "UnknownPlace",
    "UnrestrictedFileSystem",
]

Access = Literal["read", "write", "deny", "none"]
"""``none`` means ``deny``; it is kept as it was given."""
NetworkAccess = Literal["restricted", "enabled"]


class AsGiven(WireModel):
    """An object that is written as it was read: what was not given stays absent.

    Absent and null often mean the same, but not always and not to everybody; a context that
    is passed on should not change on the way. The tag of a variant is always written.
    """

    @model_serializer(mode="wrap")
    def _only_what_was_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        members: dict[str, Any] = handler(self)
        given = self.model_fields_set
        for name, field in type(self).model_fields.items():
            if name not in given and name not in ("type", "kind"):
                members.pop(field.serialization_alias or name, None)
        return members


class _SnakeModel(AsGiven):
    """A part of ``permissions``: its members keep their Python names."""

    model_config = ConfigDict(alias_generator=None)


class FixedPlace(_SnakeModel):
    """A place that every executor has."""

    kind: Literal["root", "minimal", "current_working_directory", "tmpdir", "slash_tmp"]
    """``minimal`` is what programs need to run, ``tmpdir`` what the variable ``TMPDIR`` names."""


class ProjectRootsPlace(_SnakeModel):
    """Each of the workspace roots."""

    kind: Literal["project_roots"] = "project_roots"
    subpath: str | None = None
    """Below each root; one that leads out of it, or is absolute, grants nothing."""


class UnknownPlace(_SnakeModel):
    """A place that the client's version knows and this one does not. Ignored."""

    kind: Literal["unknown"] = "unknown"
    path: str
    """What it is called."""
    subpath: str | None = None


SpecialPath = Annotated[FixedPlace | ProjectRootsPlace | UnknownPlace, Field(discriminator="kind")]
"""A place that only the executor can name."""


class PathEntryPath(_SnakeModel):
    """One path."""

    type: Literal["path"] = "path"
    path: WirePathUri


class GlobPatternEntryPath(_SnakeModel):
    """Existing files that match, found when the sandbox is set up. Only ``deny`` means anything."""

    type: Literal["glob_pattern"] = "glob_pattern"
    pattern: str
    """A native path with ``*``, ``?``, ``[…]`` and ``**``; a relative one starts at the cwd."""


class SpecialEntryPath(_SnakeModel):
    """A special place."""

    type: Literal["special"] = "special"
    value: SpecialPath


EntryPath = Annotated[
    PathEntryPath | GlobPatternEntryPath | SpecialEntryPath, Field(discriminator="type")
]


class FileSystemEntry(_SnakeModel):
    """Rights to one path. The most specific path wins; deny > write > read."""

    path: EntryPath
    access: Access
    missing_path_behavior: Literal["skip"] | None = None


class UnrestrictedFileSystem(_SnakeModel):
    """Everything may be read and written."""

    type: Literal["unrestricted"] = "unrestricted"


class RestrictedFileSystem(_SnakeModel):
    """Nothing may be done but what an entry allows."""

    type: Literal["restricted"] = "restricted"
    entries: list[FileSystemEntry]
    glob_scan_max_depth: Annotated[int, Field(ge=1, le=2**64 - 1)] | None = None
    """Levels that deny globs are looked for: 1 is the top level only; unset is all."""


FileSystemPolicy = Annotated[
    UnrestrictedFileSystem | RestrictedFileSystem, Field(discriminator="type")
]


class ManagedPermissions(_SnakeModel):
    """The executor confines the request."""

    type: Literal["managed"] = "managed"
    file_system: FileSystemPolicy
    network: NetworkAccess


class DisabledPermissions(_SnakeModel):
    """No sandbox."""

    type: Literal["disabled"] = "disabled"


class ExternalPermissions(_SnakeModel):
    """The caller confines files already; only the network rule applies, to processes."""

    type: Literal["external"] = "external"
    network: NetworkAccess


Permissions = Annotated[
    ManagedPermissions | DisabledPermissions | ExternalPermissions, Field(discriminator="type")
]
