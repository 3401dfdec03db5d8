"""Sandbox contexts as they are on the wire, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "context",
    "deny_glob",
    "path",
    "place",
    "read_only",
    "restricted_read",
    "workspace_write",
]


def _uri(text: object) -> str:
    return "file://" + str(text)


def place(kind: str, access: str = "read", **members: str) -> dict[str, Any]:
    """Return an entry about a place that has a name."""
    return {"path": {"type": "special", "value": {"kind": kind, **members}}, "access": access}


def path(text: object, access: str) -> dict[str, Any]:
    """Return an entry about a path."""
    return {"path": {"type": "path", "path": _uri(text)}, "access": access}


def deny_glob(pattern: str) -> dict[str, Any]:
    """Return an entry that hides what matches."""
    return {"path": {"type": "glob_pattern", "pattern": pattern}, "access": "deny"}


def context(
    entries: Sequence[dict[str, Any]],
    *,
    roots: Sequence[object] = (),
    cwd: object | None = None,
    network: str = "restricted",
    glob_depth: int | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Return a context.

    Args:
        entries: Of its policy.
        roots: Workspace folders.
        cwd: The policy's directory; the first root when ``None``.
        network: ``restricted`` or ``enabled``.
        glob_depth: How deep patterns are searched for.
        **members: Further members, or other values.
    """
    policy: dict[str, Any] = {"type": "restricted", "entries": list(entries)}
    if glob_depth is not None:
        policy["glob_scan_max_depth"] = glob_depth
    start = cwd if cwd is not None else next(iter(roots), None)
    return {
        "permissions": {"type": "managed", "file_system": policy, "network": network},
        "windowsSandboxLevel": "disabled",
        "workspaceRoots": [_uri(root) for root in roots],
        **({} if start is None else {"cwd": _uri(start)}),
        **members,
    }


def read_only(root: object, **members: Any) -> dict[str, Any]:
    """Return a context that lets everything be read."""
    return context([place("root")], roots=[root], **members)


def workspace_write(root: object, *entries: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a context that lets everything be read, and the workspace be written."""
    entries = (place("root"), place("project_roots", "write"), *entries)
    return context(entries, roots=[root], **members)


def restricted_read(root: object, *entries: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a context that shows what programs need, and the workspace."""
    entries = (place("minimal"), place("project_roots", "write"), *entries)
    return context(entries, roots=[root], **members)
