"""Rules of a context: paths, and what it grants or forbids there. Pure: no look at the disk.

An entry of a policy names a path, a place (the workspace, the temporary directory, what
programs need to run) or a pattern. Here each becomes a rule about an absolute path, and
rules about one path become one: deny beats write beats read. How rules about different
paths combine is up to what lies on the disk, and so to ``plan``.
"""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from exec_server_protocol.path_uri import InvalidPathError, PathUri

from .errors import ContextIncompleteError, ForeignPathError, PolicyNotEnforceableError
from .globs import Glob, check_numbers, check_parts

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import (
        FileSystemEntry,
        NetworkAccess,
        SandboxContext,
        SpecialPath,
    )

__all__ = ["MINIMAL_PATHS", "Access", "Confinement", "Purpose", "Rules", "derive", "has_patterns"]

Purpose = Literal["process", "worker"]
"""A command of the client's, or a worker that carries out file requests."""

MINIMAL_PATHS: Final = (b"/bin", b"/etc", b"/lib", b"/lib64", b"/sbin", b"/usr")
"""What programs need to run. ``/dev`` and ``/proc`` are private ones in every sandbox."""


class Access(enum.IntEnum):
    """Rights to a path. Of two rules about one path the greater one counts."""

    READ = 1
    WRITE = 2
    DENY = 3


class Confinement(enum.Enum):
    """Extent of a confinement."""

    NONE = "none"
    NETWORK = "network"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that a context amounts to.

    Attributes:
        confinement: With anything but ``FULL`` the members below say nothing, except for
            ``network`` and for paths of the server's own that are denied.
        network: Whether other machines, and sockets of this one, can be reached.
        paths: Access by absolute path, as spelled: links are not resolved.
        globs: Patterns of files that cannot be read.
        glob_max_depth: Levels below a pattern's fixed part that are searched; ``None``
            for all.
    """

    confinement: Confinement
    network: NetworkAccess
    paths: dict[bytes, Access]
    globs: tuple[Glob, ...] = ()
    glob_max_depth: int | None = None


def derive(
    context: SandboxContext,
    *,
    purpose: Purpose,
    process_cwd: bytes | None = None,
    tmpdir: bytes | None = None,
) -> Rules:
    """Return the rules of a context.

    Args:
        context: As it came over the wire.
        purpose: A worker never gets a network, and can always load its own program.
        process_cwd: What relative patterns start from when the context has no directory.
        tmpdir: ``TMPDIR`` of whoever will run inside; ``None`` when unset.

    Raises:
        ContextIncompleteError: A worker's policy refers to the working directory, and the
            context has none.
        ForeignPathError: A path of another system.
        PolicyNotEnforceableError: A rule that cannot be guaranteed.
    """
    permissions = context.permissions
    if permissions.type == "disabled":
        return Rules(Confinement.NONE, "enabled", {})
    if context.windows_sandbox_level == "mxc":
        raise PolicyNotEnforceableError("native MXC is not available on this executor")
    network: NetworkAccess = "restricted" if purpose == "worker" else permissions.network
    if permissions.type == "external" or permissions.file_system.type == "unrestricted":
        return _files_are_free(network, purpose)
    policy = permissions.file_system
    reader = _Reader(context, purpose, process_cwd, tmpdir)
    paths = reader.paths(policy.entries)
    globs = reader.globs(policy.entries)
    if paths.get(b"/") is Access.WRITE and len(paths) == 1 and not globs:
        return _files_are_free(network, purpose)
    if context.use_legacy_landlock:
        raise PolicyNotEnforceableError(
            "useLegacyLandlock cannot be enforced: files are confined with bubblewrap only"
        )
    if purpose == "worker" and b"/" not in paths:
        for path in MINIMAL_PATHS:
            paths.setdefault(path, Access.READ)
    return Rules(Confinement.FULL, network, paths, globs, policy.glob_scan_max_depth)


def has_patterns(context: SandboxContext) -> bool:
    """Return whether the disk has to be searched for what a context denies."""
    permissions = context.permissions
    return (
        permissions.type == "managed"
        and permissions.file_system.type == "restricted"
        and any(_is_denied_pattern(entry) for entry in permissions.file_system.entries)
    )


def _is_denied_pattern(entry: FileSystemEntry) -> bool:
    return entry.path.type == "glob_pattern" and _access(entry) is Access.DENY


def _files_are_free(network: NetworkAccess, purpose: Purpose) -> Rules:
    only_network = purpose == "process" and network == "restricted"
    return Rules(Confinement.NETWORK if only_network else Confinement.NONE, network, {})


class _Reader:
    """Reads the entries of one context."""

    def __init__(
        self,
        context: SandboxContext,
        purpose: Purpose,
        process_cwd: bytes | None,
        tmpdir: bytes | None,
    ) -> None:
        self._purpose = purpose
        self._tmpdir = tmpdir
        seen_from = context if context.policy_context is None else context.policy_context
        given = seen_from.cwd
        self._cwd = None if given is None else _native(given, "working directory")
        self._glob_base = self._cwd
        if self._cwd is None and purpose == "process":
            self._glob_base = process_cwd
        self._roots = [_native(root, "workspace root") for root in seen_from.workspace_roots]

    def paths(self, entries: list[FileSystemEntry]) -> dict[bytes, Access]:
        found: dict[bytes, Access] = {}
        for entry in entries:
            access = _access(entry)
            for path in self._places(entry, access):
                found[path] = max(access, found.get(path, access))
        return found

    def _places(self, entry: FileSystemEntry, access: Access) -> Iterator[bytes]:
        if entry.path.type == "path":
            yield _native(entry.path.path, "permission path")
        elif entry.path.type == "special":
            yield from self._special(entry.path.value, access)

    def _special(self, place: SpecialPath, access: Access) -> Iterator[bytes]:
        if place.kind == "unknown":
            if access is Access.DENY:
                raise PolicyNotEnforceableError(
                    "a place that this executor does not know is denied"
                )
        elif place.kind == "project_roots":
            yield from self._workspace(place.subpath, access)
        elif place.kind == "current_working_directory":
            # It has come to mean the workspace, whatever its name says.
            yield from self._workspace(None, access)
        elif place.kind == "root":
            yield b"/"
        elif place.kind == "minimal":
            yield from MINIMAL_PATHS
        elif place.kind == "slash_tmp":
            yield b"/tmp"
        elif self._tmpdir is not None and self._tmpdir.startswith(b"/"):
            yield self._tmpdir

    def _workspace(self, subpath: str | None, access: Access) -> Iterator[bytes]:
        self._require_cwd()
        parts = [part for part in (subpath or "").split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in (subpath or "") or (subpath or "").startswith("/"):
            if access is Access.DENY:
                raise PolicyNotEnforceableError("a denied subpath leads out of the workspace")
            return
        for root in self._roots:
            yield posixpath.join(root, *(part.encode("utf-8", "surrogateescape") for part in parts))

    def globs(self, entries: list[FileSystemEntry]) -> tuple[Glob, ...]:
        patterns = [
            entry.path.pattern
            for entry in entries
            if entry.path.type == "glob_pattern" and _is_denied_pattern(entry)
        ]
        check_numbers(patterns)
        globs = tuple(dict.fromkeys(self._glob(pattern) for pattern in patterns))
        check_parts(globs)
        return globs

    def _glob(self, pattern: str) -> Glob:
        if not pattern.startswith("/"):
            self._require_cwd()
            if self._glob_base is None:
                raise ContextIncompleteError(
                    "a relative pattern needs a working directory in the sandbox context"
                )
        return Glob.parse(pattern, self._glob_base)

    def _require_cwd(self) -> None:
        if self._cwd is None and self._purpose == "worker":
            raise ContextIncompleteError(
                "dynamic permissions require cwd in the file system sandbox context"
            )


def _access(entry: FileSystemEntry) -> Access:
    if entry.access == "read":
        return Access.READ
    return Access.WRITE if entry.access == "write" else Access.DENY


def _native(uri: PathUri, what: str) -> bytes:
    try:
        path = uri.to_native()
    except InvalidPathError as error:
        raise ForeignPathError(f"invalid {what} of the sandbox context: {error}") from error
    if b"\0" in path:
        raise ForeignPathError(f"invalid {what} of the sandbox context: it contains NUL")
    return path
