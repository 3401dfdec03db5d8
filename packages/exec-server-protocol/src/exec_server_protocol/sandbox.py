"""Sandbox contexts: the policy that travels with a request.

Casing is mixed on the wire: the outer object is camelCase, everything inside
``permissions`` is snake_case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ._model import WireModel
from ._path_uri_field import WirePathUri
from .path_uri import PathUri

__all__ = [
    "Access",
    "DisabledPermissions",
    "ExternalPermissions",
    "FileSystemEntry",
    "FileSystemPolicy",
    "GlobPatternEntryPath",
    "ManagedPermissions",
    "NetworkAccess",
    "PathEntryPath",
    "Permissions",
    "PolicyContext",
    "RestrictedFileSystem",
    "SandboxContext",
    "SpecialEntryPath",
    "SpecialPath",
    "UnrestrictedFileSystem",
]

Access = Literal["read", "write", "deny", "none"]
"""``none`` means ``deny``."""
NetworkAccess = Literal["restricted", "enabled"]

PROTECTED_NAMES = (".git", ".agents", ".codex", ".aws")
"""Directly below a writable root these stay read-only, unless an entry grants them."""


def _absent(value: object) -> bool:
    return value is None


class _SnakeModel(WireModel):
    """A part of ``permissions``: its members keep their Python names."""

    model_config = ConfigDict(alias_generator=None)


class SpecialPath(_SnakeModel):
    """A place that only the executor can name."""

    kind: Literal[
        "root",
        "minimal",
        "current_working_directory",
        "project_roots",
        "tmpdir",
        "slash_tmp",
        "unknown",
    ]
    """``minimal`` is what programs need to run; ``unknown`` is ignored."""
    subpath: str | None = Field(default=None, exclude_if=_absent)
    """Below each project root; one that leads out of it grants nothing."""
    path: str | None = Field(default=None, exclude_if=_absent)
    """What an ``unknown`` place was called."""


class PathEntryPath(_SnakeModel):
    """One path."""

    type: Literal["path"] = "path"
    path: WirePathUri


class GlobPatternEntryPath(_SnakeModel):
    """Existing files that match, found when the sandbox is set up. Only ``deny`` means anything."""

    type: Literal["glob_pattern"] = "glob_pattern"
    pattern: str


class SpecialEntryPath(_SnakeModel):
    """A special place."""

    type: Literal["special"] = "special"
    value: SpecialPath


class FileSystemEntry(_SnakeModel):
    """What may be done with one path. The most specific path wins; deny > write > read."""

    path: Annotated[
        PathEntryPath | GlobPatternEntryPath | SpecialEntryPath, Field(discriminator="type")
    ]
    access: Access
    missing_path_behavior: Literal["skip"] | None = Field(default=None, exclude_if=_absent)


class UnrestrictedFileSystem(_SnakeModel):
    """Everything may be read and written."""

    type: Literal["unrestricted"] = "unrestricted"


class RestrictedFileSystem(_SnakeModel):
    """Nothing may be done but what an entry allows."""

    type: Literal["restricted"] = "restricted"
    entries: list[FileSystemEntry]
    glob_scan_max_depth: Annotated[int, Field(ge=1)] | None = Field(
        default=None, exclude_if=_absent
    )
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


class PolicyContext(WireModel):
    """Where the policy is seen from; wins over the flat members of the same names."""

    cwd: WirePathUri | None = Field(default=None, exclude_if=_absent)
    workspace_roots: list[WirePathUri] = Field(default=[])


class SandboxContext(WireModel):
    """A policy and what it refers to."""

    permissions: Permissions
    sandbox_override: (
        Literal["noOverride", "escalatedSandboxWithRestrictions", "bypassSandboxFirstAttempt"]
        | None
    ) = Field(default=None, exclude_if=_absent)
    """Enforced alike, whatever it says."""
    cwd: WirePathUri | None = Field(default=None, exclude_if=_absent)
    """What relative globs are resolved against."""
    policy_context: PolicyContext | None = Field(default=None, exclude_if=_absent)
    workspace_roots: list[WirePathUri] = Field(default=[])
    """What ``project_roots`` stands for; with none it stands for nothing."""
    user_home_dir: WirePathUri | None = Field(default=None, exclude_if=_absent)
    temporary_directories: list[WirePathUri] | None = Field(default=None, exclude_if=_absent)
    windows_sandbox_level: Literal["disabled", "restricted-token", "elevated", "mxc"]
    """Required on every system; only ``mxc`` means anything elsewhere, and is refused there."""
    windows_sandbox_proxy_settings_mode: Literal["reconcile", "preserve"] | None = Field(
        default=None, exclude_if=_absent
    )
    use_legacy_landlock: bool | None = Field(default=None, exclude_if=_absent)

    # ------------------------------------------------------------------ constructors

    @classmethod
    def disabled(cls) -> SandboxContext:
        """Return the context of a request that runs unconfined."""
        return cls(permissions=DisabledPermissions(), windows_sandbox_level="disabled")

    @classmethod
    def external(cls, *, network: NetworkAccess = "restricted") -> SandboxContext:
        """Return the context of a request whose files somebody else confines."""
        return cls(
            permissions=ExternalPermissions(network=network), windows_sandbox_level="disabled"
        )

    @classmethod
    def read_only(
        cls, *, network: NetworkAccess = "restricted", cwd: PathUri | None = None
    ) -> SandboxContext:
        """Return a context that lets everything be read and nothing be written."""
        return cls._managed([_special("root", "read")], network, cwd, [])

    @classmethod
    def workspace_write(
        cls,
        roots: Iterable[PathUri],
        *,
        network: NetworkAccess = "restricted",
        cwd: PathUri | None = None,
        exclude_slash_tmp: bool = False,
        exclude_tmpdir: bool = False,
    ) -> SandboxContext:
        """Return a context that lets everything be read and the workspace be written.

        Args:
            roots: The workspace. Directly below, ``.git``, ``.agents``, ``.codex`` and
                ``.aws`` stay read-only.
            network: ``restricted`` for none.
            cwd: What relative globs are resolved against; the first root when ``None``.
            exclude_slash_tmp: Do not let ``/tmp`` be written.
            exclude_tmpdir: Do not let the directory in ``TMPDIR`` be written.
        """
        folders = list(roots)
        entries = [_special("root", "read"), _special("project_roots", "write")]
        if not exclude_slash_tmp:
            entries.append(_special("slash_tmp", "write"))
        if not exclude_tmpdir:
            entries.append(_special("tmpdir", "write"))
        entries += (
            _special("project_roots", "read", subpath=name, missing="skip")
            for name in PROTECTED_NAMES
        )
        return cls._managed(entries, network, cwd or (folders[0] if folders else None), folders)

    @classmethod
    def from_policy(
        cls, policy: str | Mapping[str, Any], *, cwd: PathUri, roots: Iterable[PathUri] = ()
    ) -> SandboxContext:
        """Return the context for a policy in one of the old forms, which no wire accepts.

        Args:
            policy: ``readOnly``, ``workspaceWrite``, ``dangerFullAccess`` or
                ``externalSandbox``, with hyphens as well, alone or as an object whose
                ``type`` (or ``mode``) says so beside ``networkAccess``, ``writableRoots``,
                ``excludeSlashTmp`` and ``excludeTmpdirEnvVar``.
            cwd: Working directory, writable under ``workspaceWrite``.
            roots: Further workspace folders.

        Raises:
            ValueError: No such policy, or a member that would have to be guessed at.
        """
        members = {"type": policy} if isinstance(policy, str) else dict(policy)
        options = {_squash(name): value for name, value in members.items()}
        kind = _squash(str(options.pop("type", options.pop("mode", ""))))
        network = options.pop("networkaccess", False)
        access: NetworkAccess = "enabled" if network in (True, "enabled") else "restricted"
        exclude_tmp = bool(options.pop("excludeslashtmp", False))
        exclude_tmpdir = bool(options.pop("excludetmpdirenvvar", False))
        writable = [_as_uri(root) for root in options.pop("writableroots", [])]
        if options:
            raise ValueError(f"members of a sandbox policy that mean nothing: {sorted(options)}")
        if kind == "readonly":
            return cls.read_only(network=access, cwd=cwd)
        if kind == "dangerfullaccess":
            return cls.disabled()
        if kind == "externalsandbox":
            return cls.external(network=access)
        if kind != "workspacewrite":
            raise ValueError(
                "a sandbox policy is readOnly, workspaceWrite, dangerFullAccess or externalSandbox"
            )
        return cls.workspace_write(
            dict.fromkeys([cwd, *roots, *writable]),
            network=access,
            cwd=cwd,
            exclude_slash_tmp=exclude_tmp,
            exclude_tmpdir=exclude_tmpdir,
        )

    @classmethod
    def _managed(
        cls,
        entries: list[FileSystemEntry],
        network: NetworkAccess,
        cwd: PathUri | None,
        roots: list[PathUri],
    ) -> SandboxContext:
        return cls(
            permissions=ManagedPermissions(
                file_system=RestrictedFileSystem(entries=entries), network=network
            ),
            cwd=cwd,
            workspace_roots=roots,
            windows_sandbox_level="disabled",
        )


def _special(
    kind: Any, access: Access, *, subpath: str | None = None, missing: Literal["skip"] | None = None
) -> FileSystemEntry:
    return FileSystemEntry(
        path=SpecialEntryPath(value=SpecialPath(kind=kind, subpath=subpath)),
        access=access,
        missing_path_behavior=missing,
    )


def _squash(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _as_uri(path: object) -> PathUri:
    if isinstance(path, PathUri):
        return path
    text = str(path)
    return PathUri.parse(text) if text.startswith("file:") else PathUri.from_native(text)
