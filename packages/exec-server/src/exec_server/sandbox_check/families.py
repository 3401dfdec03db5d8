"""Families of policies, with what each promises: what ``escapes`` are tried from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.sandbox import SandboxContext

from ..sandbox import interpreter
from .escapes import NEEDS, Need, Site

__all__ = ["FAMILIES", "Family"]

_Entry = dict[str, Any]


def _path(access: str, path: str | bytes) -> _Entry:
    uri = str(PathUri.from_native(os.fsencode(path)))
    return {"path": {"type": "path", "path": uri}, "access": access}


def _place(access: str, kind: str) -> _Entry:
    return {"path": {"type": "special", "value": {"kind": kind}}, "access": access}


def _pattern(pattern: str) -> _Entry:
    return {"path": {"type": "glob_pattern", "pattern": pattern}, "access": "deny"}


def _workspace_write(site: Site) -> list[_Entry]:
    return [_place("read", "root"), _path("write", site.root)]


def _denied(site: Site) -> list[_Entry]:
    return [_path("deny", f"{site.root}/{name}") for name in ("denied", "sub/denied-file")]


def _patterns(site: Site) -> list[_Entry]:
    # Only files match: what a folder is called does not hide what is in it.
    return [_pattern(f"{site.root}/{name}") for name in ("denied/**", "**/denied-*")]


def _restricted_read(site: Site) -> list[_Entry]:
    program = [*interpreter.own_files(), os.fsencode(os.path.dirname(__file__))]
    return [
        _place("read", "minimal"),
        *(_path("read", path) for path in program),
        _path("write", site.root),
        *_denied(site),
    ]


@dataclass(frozen=True, slots=True)
class Family:
    """Policies of one kind.

    Attributes:
        name: For people.
        promises: What it promises beside what every policy does.
        entries: Makes its rules about files; ``None`` where all files are free.
        kind: ``external`` where somebody else confines files.
    """

    name: str
    promises: frozenset[Need]
    entries: Callable[[Site], list[_Entry]] | None = None
    kind: str = "managed"

    @property
    def promised(self) -> list[str]:
        """The attempts that it promises to refuse."""
        return [name for name, need in NEEDS.items() if need == "always" or need in self.promises]

    def policy(self, site: Site) -> SandboxContext:
        """Return the policy of this family to escape from."""
        network = "restricted" if "network" in self.promises else "enabled"
        permissions: dict[str, Any] = {"type": self.kind, "network": network}
        if self.entries is not None:
            entries = self.entries(site)
            permissions["file_system"] = {"type": "restricted", "entries": entries}
        elif self.kind == "managed":
            permissions["file_system"] = {"type": "unrestricted"}
        context = {"permissions": permissions, "windowsSandboxLevel": "disabled"}
        return SandboxContext.model_validate(context)


_CONFINED: Final[frozenset[Need]] = frozenset({"files", "protected", "network"})
_NETWORK: Final[frozenset[Need]] = frozenset({"network"})
_DENIED: Final[frozenset[Need]] = frozenset({"denied"})
_READING: Final[frozenset[Need]] = frozenset({"reading"})

FAMILIES: Final = (
    Family("read-only", _CONFINED, lambda site: [_place("read", "root")]),
    Family("workspace-write", _CONFINED, _workspace_write),
    Family("restricted read", _CONFINED | _DENIED | _READING, _restricted_read),
    Family(
        "deny by path",
        _CONFINED | _DENIED,
        lambda site: _workspace_write(site) + _denied(site),
    ),
    Family(
        "deny by pattern",
        _CONFINED | _DENIED,
        lambda site: _workspace_write(site) + _patterns(site),
    ),
    Family(
        "network allowed",
        (_CONFINED | _DENIED) - _NETWORK,
        lambda site: _workspace_write(site) + _denied(site),
    ),
    # Protected names are those directly in a writable root, here in "/".
    Family(
        "root writable",
        _NETWORK | _DENIED,
        lambda site: [_place("write", "root"), *_denied(site)],
    ),
    Family("network only", _NETWORK),
    Family("external", _NETWORK, kind="external"),
)
"""Every kind of policy that confines anything."""
