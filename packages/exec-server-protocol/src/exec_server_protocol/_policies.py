"""Permissions made from a few words: the usual policies, and the old forms of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ._permissions import (
    Access,
    DisabledPermissions,
    ExternalPermissions,
    FileSystemEntry,
    FixedPlace,
    ManagedPermissions,
    NetworkAccess,
    PathEntryPath,
    ProjectRootsPlace,
    RestrictedFileSystem,
    SpecialEntryPath,
)
from ._protected_names import PROTECTED_NAMES
from .path_uri import PathUri

__all__ = [
    "PROTECTED_NAMES",
    "as_uri",
    "from_old_policy",
    "managed",
    "read_entries",
    "write_entries",
]

_FixedKind = Literal["root", "minimal", "current_working_directory", "tmpdir", "slash_tmp"]


def managed(entries: Iterable[FileSystemEntry], network: NetworkAccess) -> ManagedPermissions:
    """Return the permissions that the entries and nothing else grant."""
    policy = RestrictedFileSystem(entries=list(entries))
    return ManagedPermissions(file_system=policy, network=network)


def read_entries() -> list[FileSystemEntry]:
    """Return the entries that let everything be read."""
    return [_fixed("root", "read")]


def write_entries(
    readable: Iterable[FileSystemEntry], *, slash_tmp: bool, tmpdir: bool
) -> list[FileSystemEntry]:
    """Return the entries that let the workspace be written, but not what configures tools."""
    entries = [*readable, _project_roots("write")]
    if slash_tmp:
        entries.append(_fixed("slash_tmp", "write"))
    if tmpdir:
        entries.append(_fixed("tmpdir", "write"))
    return entries + [_project_roots("read", name) for name in PROTECTED_NAMES]


def from_old_policy(
    policy: str | Mapping[str, Any],
) -> ManagedPermissions | DisabledPermissions | ExternalPermissions:
    """Return what a policy in one of the old forms permits.

    Raises:
        ValueError: No such policy, or a member that would have to be guessed at.
    """
    members = _Members({"type": policy} if isinstance(policy, str) else policy)
    kind = _squash(str(members.take("type", members.take("mode", ""))))
    network = members.network() if kind != "dangerfullaccess" else "enabled"
    made: ManagedPermissions | DisabledPermissions | ExternalPermissions
    if kind == "readonly":
        made = managed(members.readable("access"), network)
    elif kind == "workspacewrite":
        entries = write_entries(
            members.readable("readonlyaccess"),
            slash_tmp=not members.flag("excludeslashtmp"),
            tmpdir=not members.flag("excludetmpdirenvvar"),
        )
        for root in members.paths("writableroots"):
            entries.append(_path(root, "write"))
            entries += (_path(root.join(name), "read", "skip") for name in PROTECTED_NAMES)
        made = managed(entries, network)
    elif kind == "dangerfullaccess":
        made = DisabledPermissions()
    elif kind == "externalsandbox":
        made = ExternalPermissions(network=network)
    else:
        raise ValueError(
            "a sandbox policy is readOnly, workspaceWrite, dangerFullAccess or externalSandbox"
        )
    members.finish()
    return made


class _Members:
    """The members of an old policy, whatever their spelling; each is taken once."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._left = {_squash(name): value for name, value in policy.items()}
        if len(self._left) != len(policy):
            raise ValueError("a sandbox policy names a member twice")

    def take(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def finish(self) -> None:
        """Refuse what nobody took: to ignore a rule is to grant what it forbids."""
        if self._left:
            raise ValueError(
                f"members that mean nothing in this sandbox policy: {sorted(self._left)}"
            )

    def network(self) -> NetworkAccess:
        value = self.take("networkaccess", False)
        if value is True or value == "enabled":
            return "enabled"
        if value is False or value == "restricted":
            return "restricted"
        raise ValueError("networkAccess of a sandbox policy is a boolean, enabled or restricted")

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise ValueError(f"{name} of a sandbox policy is a boolean")
        return value

    def paths(self, name: str) -> list[PathUri]:
        value = self.take(name, [])
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"{name} of a sandbox policy is a list of paths")
        return [as_uri(path) for path in value]

    def readable(self, name: str) -> list[FileSystemEntry]:
        """Return the entries for reading: all paths, unless the policy names some."""
        value = self.take(name, "fullAccess")
        access = _Members({"type": value} if isinstance(value, str) else dict(value))
        kind = _squash(str(access.take("type", "")))
        if kind in ("full", "fullaccess"):
            entries = read_entries()
        elif kind == "restricted":
            entries = [_path(root, "read") for root in access.paths("readableroots")]
            if access.flag("includeplatformdefaults"):
                entries.insert(0, _fixed("minimal", "read"))
        else:
            raise ValueError(f"{name} of a sandbox policy is fullAccess or restricted")
        access.finish()
        return entries


def _fixed(kind: _FixedKind, access: Access) -> FileSystemEntry:
    return FileSystemEntry(path=SpecialEntryPath(value=FixedPlace(kind=kind)), access=access)


def _project_roots(access: Access, subpath: str | None = None) -> FileSystemEntry:
    if subpath is None:
        return FileSystemEntry(path=SpecialEntryPath(value=ProjectRootsPlace()), access=access)
    place = SpecialEntryPath(value=ProjectRootsPlace(subpath=subpath))
    return FileSystemEntry(path=place, access=access, missing_path_behavior="skip")


def _path(path: PathUri, access: Access, missing: Literal["skip"] | None = None) -> FileSystemEntry:
    place = PathEntryPath(path=path)
    if missing is None:
        return FileSystemEntry(path=place, access=access)
    return FileSystemEntry(path=place, access=access, missing_path_behavior=missing)


def _squash(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def as_uri(path: object) -> PathUri:
    """Return the URI of a path that is one already, spells one, or is an absolute path here."""
    if isinstance(path, PathUri):
        return path
    text = str(path)
    return PathUri.parse(text) if text.startswith("file:") else PathUri.from_native(text)
