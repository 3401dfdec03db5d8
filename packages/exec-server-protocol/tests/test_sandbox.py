"""Sandbox contexts: the recorded ones, the constructors, the old forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.sandbox import RestrictedFileSystem, SandboxContext
from pydantic import ValidationError

CORPUS = json.loads((Path(__file__).parent / "corpus" / "sandboxes.json").read_text())
WS = PathUri.parse("file:///srv/ws")


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_recorded_contexts_come_back_as_they_were(name: str) -> None:
    context = SandboxContext.model_validate(CORPUS[name])
    wire = context.to_wire()
    recorded = dict(CORPUS[name])
    recorded.setdefault("workspaceRoots", [])
    assert wire == recorded


def _context(**changes: Any) -> dict[str, Any]:
    permissions: dict[str, Any] = {
        "type": "managed",
        "file_system": {"type": "restricted", "entries": []},
        "network": "restricted",
    }
    return {"permissions": permissions, "windowsSandboxLevel": "disabled", **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"permissions": None},
        {"permissions": {"type": "readOnly"}},
        {"permissions": {"type": "managed", "network": "restricted"}},
        {"permissions": {"type": "managed", "fileSystem": {}, "network": "restricted"}},
        {"permissions": {"type": "external"}},
        {"windowsSandboxLevel": "other"},
        {"workspaceRoots": None},
        {"workspaceRoots": ["/srv"]},
        {"cwd": "/srv"},
        {"sandboxOverride": "x"},
    ],
)
def test_contexts_that_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SandboxContext.model_validate(_context(**changes))


@pytest.mark.parametrize(
    "entry",
    [
        {"path": {"type": "path", "path": "/native"}, "access": "read"},
        {"path": {"type": "special", "value": {"kind": "moon"}}, "access": "read"},
        {"path": {"type": "special", "value": {"kind": "root"}}, "access": "execute"},
        {"path": {"type": "path", "path": "file:///x"}, "access": "read",
         "missing_path_behavior": "fail"},
    ],
)  # fmt: skip
def test_entries_that_are_refused(entry: dict[str, Any]) -> None:
    context = _context()
    context["permissions"]["file_system"]["entries"] = [entry]
    with pytest.raises(ValidationError):
        SandboxContext.model_validate(context)


def test_the_depth_of_a_glob_scan_is_at_least_one() -> None:
    with pytest.raises(ValidationError):
        RestrictedFileSystem.model_validate(
            {"type": "restricted", "entries": [], "glob_scan_max_depth": 0}
        )


def test_the_windows_level_is_required_on_every_system() -> None:
    context = _context()
    del context["windowsSandboxLevel"]
    with pytest.raises(ValidationError, match="windowsSandboxLevel"):
        SandboxContext.model_validate(context)


def test_workspace_write_grants_the_roots_and_protects_what_configures_tools() -> None:
    wire = SandboxContext.workspace_write([WS]).to_wire()
    entries = wire["permissions"]["file_system"]["entries"]
    specials = {
        (e["path"]["value"]["kind"], e["path"]["value"].get("subpath"), e["access"])
        for e in entries
    }
    assert specials == {
        ("root", None, "read"),
        ("project_roots", None, "write"),
        ("slash_tmp", None, "write"),
        ("tmpdir", None, "write"),
        *(("project_roots", n, "read") for n in (".git", ".agents", ".codex", ".aws")),
    }
    assert wire["workspaceRoots"] == [str(WS)]
    assert wire["cwd"] == str(WS)


@pytest.mark.parametrize("spelling", ["readOnly", "read-only", "read_only"])
def test_the_old_read_only_form(spelling: str) -> None:
    context = SandboxContext.from_policy(spelling, cwd=WS)
    assert context == SandboxContext.read_only(cwd=WS)


def test_the_other_old_forms() -> None:
    assert SandboxContext.from_policy("dangerFullAccess", cwd=WS) == SandboxContext.disabled()
    assert SandboxContext.from_policy(
        {"type": "external-sandbox", "networkAccess": True}, cwd=WS
    ) == SandboxContext.external(network="enabled")
    context = SandboxContext.from_policy(
        {
            "mode": "workspace-write",
            "writable_roots": ["/data", "file:///srv/ws"],
            "network_access": True,
            "exclude_slash_tmp": True,
        },
        cwd=WS,
    )
    assert context == SandboxContext.workspace_write(
        [WS, PathUri.parse("file:///data")], network="enabled", cwd=WS, exclude_slash_tmp=True
    )


@pytest.mark.parametrize("policy", ["full", "", {"type": "readOnly", "surprise": 1}])
def test_policies_that_would_have_to_be_guessed_at_are_refused(policy: Any) -> None:
    with pytest.raises(ValueError, match="sandbox policy"):
        SandboxContext.from_policy(policy, cwd=WS)
