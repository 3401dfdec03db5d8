"""Sandbox contexts: the policy that travels with a request.

Casing is mixed on the wire: the outer object is camelCase, everything inside
``permissions`` is snake_case.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import Field

from ._path_uri_field import WirePathUri
from ._permissions import (
    Access,
    AsGiven,
    DisabledPermissions,
    EntryPath,
    ExternalPermissions,
    FileSystemEntry,
    FileSystemPolicy,
    FixedPlace,
    GlobPatternEntryPath,
    ManagedPermissions,
    NetworkAccess,
    PathEntryPath,
    Permissions,
    ProjectRootsPlace,
    RestrictedFileSystem,
    SpecialEntryPath,
    SpecialPath,
    UnknownPlace,
    UnrestrictedFileSystem,
)
from ._policies import (
    PROTECTED_NAMES,
    as_uri,
    from_old_policy,
    managed,
    read_entries,
    write_entries,
)
from .path_uri import PathUri

__all__ = [
    "PROTECTED_NAMES",
    "Access",
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
    "PolicyContext",
    "ProjectRootsPlace",
    "RestrictedFileSystem",
    "SandboxContext",
    "SpecialEntryPath",
    "SpecialPath",
    "UnknownPlace",
    "UnrestrictedFileSystem",
]


AnyPath: TypeAlias = "PathUri | str | os.PathLike[str]"
"""A path on the executor: absolute, or a URI."""


class PolicyContext(AsGiven):
    """Place from which the policy is seen; wins over the flat members of the same names."""

    cwd: WirePathUri | None = None
    workspace_roots: list[WirePathUri] = Field(default=[])


class SandboxContext(AsGiven):
    """A policy and what it refers to."""

    permissions: Permissions
    sandbox_override: Literal[
        "noOverride", "escalatedSandboxWithRestrictions", "bypassSandboxFirstAttempt"
    ] = "noOverride"
    """Enforced alike, whatever it says."""
    cwd: WirePathUri | None = None
    """What relative globs are resolved against."""
    policy_context: PolicyContext | None = None
    workspace_roots: list[WirePathUri] = Field(default=[])
    """What ``project_roots`` stands for; with none it stands for nothing."""
    user_home_dir: WirePathUri | None = None
    temporary_directories: list[WirePathUri] | None = None
    windows_sandbox_level: Literal["disabled", "restricted-token", "elevated", "mxc"]
    """Required on every system; only ``mxc`` means anything elsewhere, and is refused there."""
    windows_sandbox_proxy_settings_mode: Literal["reconcile", "preserve"] | None = None
    use_legacy_landlock: bool = False

    @property
    def policy_cwd(self) -> PathUri | None:
        """The working directory that counts."""
        return self.cwd if self.policy_context is None else self.policy_context.cwd

    @property
    def policy_workspace_roots(self) -> list[PathUri]:
        """The workspace roots that count."""
        context = self.policy_context
        return self.workspace_roots if context is None else context.workspace_roots

    # ------------------------------------------------------------------ constructors

    @classmethod
    def disabled(cls) -> SandboxContext:
        """Return the context of a request that runs unconfined."""
        return cls(permissions=DisabledPermissions(), windows_sandbox_level="disabled")

    @classmethod
    def external(cls, *, network: NetworkAccess = "restricted") -> SandboxContext:
        """Return the context of a request whose files somebody else confines."""
        return cls._of(ExternalPermissions(network=network), None, [])

    @classmethod
    def read_only(
        cls, *, network: NetworkAccess = "restricted", cwd: AnyPath | None = None
    ) -> SandboxContext:
        """Return a context that lets everything be read and nothing be written."""
        here = None if cwd is None else as_uri(cwd)
        return cls._of(managed(read_entries(), network), here, [])

    @classmethod
    def workspace_write(
        cls,
        roots: Iterable[AnyPath],
        *,
        network: NetworkAccess = "restricted",
        cwd: AnyPath | None = None,
        exclude_slash_tmp: bool = False,
        exclude_tmpdir: bool = False,
    ) -> SandboxContext:
        """Return a context that lets everything be read and the workspace be written.

        Args:
            roots: The workspace: absolute paths, or URIs. Directly below, ``.git``,
                ``.agents``, ``.codex`` and ``.aws`` stay read-only.
            network: ``restricted`` for none.
            cwd: What relative globs are resolved against; the first root when ``None``.
            exclude_slash_tmp: Do not let ``/tmp`` be written.
            exclude_tmpdir: Do not let the directory in ``TMPDIR`` be written.
        """
        folders = [as_uri(root) for root in roots]
        here = as_uri(cwd) if cwd is not None else folders[0] if folders else None
        entries = write_entries(
            read_entries(), slash_tmp=not exclude_slash_tmp, tmpdir=not exclude_tmpdir
        )
        return cls._of(managed(entries, network), here, folders)

    @classmethod
    def from_policy(
        cls, policy: str | Mapping[str, Any], *, cwd: AnyPath, roots: Iterable[AnyPath] = ()
    ) -> SandboxContext:
        """Return the context for a policy in one of the old forms, which no wire accepts.

        Args:
            policy: ``readOnly``, ``workspaceWrite``, ``dangerFullAccess`` or
                ``externalSandbox``, with hyphens as well, alone or as an object whose
                ``type`` (or ``mode``) says so. Beside it stand ``networkAccess``; for
                ``readOnly`` ``access``; for ``workspaceWrite`` ``readOnlyAccess``,
                ``writableRoots``, ``excludeSlashTmp`` and ``excludeTmpdirEnvVar``. Access is
                ``fullAccess``, or ``restricted`` to ``readableRoots`` and, with
                ``includePlatformDefaults``, to what programs need to run.
            cwd: Working directory, writable under ``workspaceWrite``.
            roots: Further workspace folders.

        Raises:
            ValueError: No such policy, or a member that would have to be guessed at.
        """
        permissions = from_old_policy(policy)
        if not isinstance(permissions, ManagedPermissions):
            return cls._of(permissions, None, [])
        here = as_uri(cwd)
        return cls._of(permissions, here, list(dict.fromkeys([here, *map(as_uri, roots)])))

    @classmethod
    def _of(
        cls,
        permissions: ManagedPermissions | DisabledPermissions | ExternalPermissions,
        cwd: PathUri | None,
        roots: list[PathUri],
    ) -> SandboxContext:
        members: dict[str, Any] = {} if cwd is None else {"cwd": cwd}
        if roots:
            members["workspace_roots"] = roots
        return cls(permissions=permissions, windows_sandbox_level="disabled", **members)
