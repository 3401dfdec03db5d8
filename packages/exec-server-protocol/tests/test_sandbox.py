"""Sandbox contexts: the recorded ones, what is refused, the constructors, the old forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol import _sandbox_field
from exec_server_protocol.filesystem import FsReadFileParams, FsRemoveParams
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from exec_server_protocol.sandbox import (
    DisabledPermissions,
    ExternalPermissions,
    ManagedPermissions,
    ProjectRootsPlace,
    RestrictedFileSystem,
    SandboxContext,
    SpecialEntryPath,
)
from pydantic import ValidationError

CORPUS = json.loads((Path(__file__).parent / "corpus" / "sandboxes.json").read_text())
WS = PathUri.parse("file:///srv/ws")
ROOT = {"path": {"type": "special", "value": {"kind": "root"}}, "access": "read"}
PROTECTED = (".git", ".agents", ".codex", ".aws")


def decode(value: Any) -> SandboxContext:
    return SandboxContext.model_validate_json(json.dumps(value))


def context(**changes: Any) -> dict[str, Any]:
    permissions: dict[str, Any] = {
        "type": "managed",
        "file_system": {"type": "restricted", "entries": [ROOT]},
        "network": "restricted",
    }
    members = {"permissions": permissions, "windowsSandboxLevel": "disabled", **changes}
    return {name: value for name, value in members.items() if value is not ...}


def with_entry(entry: Any) -> dict[str, Any]:
    wire = context()
    wire["permissions"]["file_system"]["entries"] = [entry]
    return wire


def special(**value: Any) -> dict[str, Any]:
    return {"path": {"type": "special", "value": value}, "access": "read"}


def entries_of(sandbox: SandboxContext) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = sandbox.to_wire()["permissions"]["file_system"]["entries"]
    return entries


# ---------------------------------------------------------------------- the wire


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_recorded_contexts_come_back_as_they_were(name: str) -> None:
    assert decode(CORPUS[name]).to_wire() == CORPUS[name]


def test_members_are_written_in_their_positional_order() -> None:
    wire = {
        "permissions": {"type": "disabled"},
        "sandboxOverride": "noOverride",
        "cwd": "file:///srv/ws",
        "policyContext": {"cwd": "file:///srv/ws", "workspaceRoots": ["file:///srv/ws"]},
        "workspaceRoots": ["file:///srv/ws"],
        "userHomeDir": "file:///home/u",
        "temporaryDirectories": ["file:///tmp"],
        "windowsSandboxLevel": "disabled",
        "windowsSandboxProxySettingsMode": "reconcile",
        "useLegacyLandlock": False,
    }
    assert json.dumps(decode(wire).to_wire()) == json.dumps(wire)
    assert decode(wire).to_json() == json.dumps(wire, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cwd": None, "userHomeDir": None, "policyContext": None, "temporaryDirectories": None},
        {"windowsSandboxProxySettingsMode": None},
        {"workspaceRoots": [], "temporaryDirectories": []},
        {"policyContext": {}},
        {"policyContext": {"cwd": None}},
        {"policyContext": {"workspaceRoots": []}},
        {"sandboxOverride": "bypassSandboxFirstAttempt", "useLegacyLandlock": True},
        {"windowsSandboxLevel": "restricted-token"},
        {"windowsSandboxLevel": "mxc", "windowsSandboxProxySettingsMode": "preserve"},
        {"permissions": {"type": "disabled"}},
        {"permissions": {"type": "external", "network": "enabled"}},
        {"permissions": {"type": "managed", "file_system": {"type": "unrestricted"},
                         "network": "restricted"}},
        {"permissions": {"type": "managed", "network": "enabled", "file_system": {
            "type": "restricted", "entries": [], "glob_scan_max_depth": 2**64 - 1}}},
        {"permissions": {"type": "managed", "network": "enabled", "file_system": {
            "type": "restricted", "entries": [], "glob_scan_max_depth": None}}},
    ],
)  # fmt: skip
def test_what_was_absent_stays_absent_and_what_was_null_stays_null(changes: dict[str, Any]) -> None:
    wire = context(**changes)
    assert decode(wire).to_wire() == wire


@pytest.mark.parametrize(
    "entry",
    [
        *(special(kind=kind) for kind in (
            "root", "minimal", "current_working_directory", "project_roots", "tmpdir", "slash_tmp"
        )),
        special(kind="project_roots", subpath=".git"),
        special(kind="project_roots", subpath=None),
        special(kind="unknown", path=":foo"),
        special(kind="unknown", path=":foo", subpath="x"),
        *({**ROOT, "access": access} for access in ("read", "write", "deny", "none")),
        {**ROOT, "missing_path_behavior": "skip"},
        {**ROOT, "missing_path_behavior": None},
        {"path": {"type": "path", "path": "file:///srv/x"}, "access": "write"},
        {"path": {"type": "path", "path": "file:///C:/x"}, "access": "write"},
        {"path": {"type": "glob_pattern", "pattern": "**/*.env"}, "access": "deny"},
    ],
)  # fmt: skip
def test_entries_come_back_as_they_were(entry: dict[str, Any]) -> None:
    wire = with_entry(entry)
    assert decode(wire).to_wire() == wire


def test_unknown_members_are_ignored_everywhere() -> None:
    wire = context(
        windowsSandboxPrivateDesktop=True, sandboxPolicy=5, policyContext={"cwd": None, "x": 1}
    )
    wire["permissions"] |= {"x": 1}
    wire["permissions"]["file_system"] |= {"x": 1}
    noisy = special(kind="root", subpath=5, path=5, x=1) | {"x": 1}
    noisy["path"]["x"] = 1
    wire["permissions"]["file_system"]["entries"] = [noisy]
    assert decode(wire) == decode(context(policyContext={"cwd": None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"permissions": None},
        {"permissions": ...},
        {"permissions": {}},
        {"permissions": "disabled"},
        {"permissions": {"type": "readOnly"}},
        {"permissions": {"type": "workspace-write"}},
        {"permissions": {"type": "external"}},
        {"permissions": {"type": "external", "network": "full"}},
        {"permissions": {"type": "managed", "network": "restricted"}},
        {"permissions": {"type": "managed", "file_system": {"type": "unrestricted"}}},
        {"permissions": {"type": "managed", "file_system": {"type": "unrestricted"},
                         "network": None}},
        {"permissions": {"type": "managed", "fileSystem": {"type": "unrestricted"},
                         "network": "restricted"}},
        {"permissions": {"type": "managed", "file_system": {"type": "restricted"},
                         "network": "restricted"}},
        {"windowsSandboxLevel": "other"},
        {"windowsSandboxLevel": "restrictedToken"},
        {"windowsSandboxLevel": None},
        {"workspaceRoots": None},
        {"workspaceRoots": ["/srv"]},
        {"temporaryDirectories": [None]},
        {"policyContext": {"workspaceRoots": None}},
        {"cwd": "/srv"},
        {"sandboxOverride": "x"},
        {"sandboxOverride": None},
        {"useLegacyLandlock": None},
        {"useLegacyLandlock": 0},
        {"windowsSandboxProxySettingsMode": "x"},
    ],
)  # fmt: skip
def test_contexts_that_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decode(context(**changes))


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "file:///x", "access": "read"},
        {"path": {"type": "path", "path": "/native"}, "access": "read"},
        {"path": {"type": "path"}, "access": "read"},
        {"path": {"type": "other", "path": "file:///x"}, "access": "read"},
        {"path": {"type": "glob_pattern", "pattern": 5}, "access": "deny"},
        {"path": {"type": "special"}, "access": "read"},
        {"path": {"type": "special", "value": "root"}, "access": "read"},
        special(kind="moon"),
        special(kind="project_roots", subpath=5),
        special(kind="unknown"),
        special(kind="unknown", path=None),
        {**ROOT, "access": "execute"},
        {**ROOT, "access": None},
        {**ROOT, "missing_path_behavior": "fail"},
    ],
)
def test_entries_that_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decode(with_entry(entry))


@pytest.mark.parametrize("depth", [0, -1, 1.0, "1", True, 2**64])
def test_the_depth_of_a_glob_scan_is_a_positive_integer(depth: Any) -> None:
    with pytest.raises(ValidationError):
        RestrictedFileSystem.model_validate(
            {"type": "restricted", "entries": [], "glob_scan_max_depth": depth}
        )


def test_the_windows_level_is_required_on_every_system() -> None:
    with pytest.raises(ValidationError, match="windowsSandboxLevel"):
        decode(context(windowsSandboxLevel=...))


def test_a_policy_context_wins_over_the_flat_members_even_when_it_says_nothing() -> None:
    flat = {"cwd": "file:///srv/ws", "workspaceRoots": ["file:///srv/ws"]}
    for absent in ({}, {"policyContext": None}):
        assert decode(context(**flat, **absent)).policy_cwd == WS
        assert decode(context(**flat, **absent)).policy_workspace_roots == [WS]
    silent = decode(context(**flat, policyContext={}))
    assert silent.policy_cwd is None
    assert silent.policy_workspace_roots == []


# ---------------------------------------------------------------------- constructors


def test_read_only_grants_reading_and_nothing_else() -> None:
    assert SandboxContext.read_only(cwd=WS).to_wire() == context(cwd=str(WS))
    wire = SandboxContext.read_only(network="enabled").to_wire()
    assert wire["permissions"]["network"] == "enabled"


def test_disabled_and_external_say_just_that() -> None:
    assert SandboxContext.disabled().to_wire() == context(permissions={"type": "disabled"})
    assert SandboxContext.external(network="enabled").to_wire() == context(
        permissions={"type": "external", "network": "enabled"}
    )


def test_workspace_write_is_what_the_recorded_client_sends() -> None:
    recorded = [wire for name, wire in CORPUS.items() if name.startswith("workspace-write")]
    assert recorded
    assert SandboxContext.workspace_write([WS]).to_wire()["permissions"] in [
        wire["permissions"] for wire in recorded
    ]


def test_workspace_write_grants_the_roots_and_leaves_out_what_it_is_told_to() -> None:
    other = PathUri.parse("file:///data")
    sandbox = SandboxContext.workspace_write(
        [WS, other], network="enabled", exclude_slash_tmp=True, exclude_tmpdir=True
    )
    wire = sandbox.to_wire()
    assert wire["workspaceRoots"] == [str(WS), str(other)]
    assert wire["cwd"] == str(WS)
    assert wire["permissions"]["network"] == "enabled"
    kinds = [entry["path"]["value"]["kind"] for entry in entries_of(sandbox)]
    assert kinds == ["root", *["project_roots"] * 5]
    assert SandboxContext.workspace_write([]).to_wire().keys() == {
        "permissions",
        "windowsSandboxLevel",
    }


@pytest.mark.parametrize(
    "made",
    [
        SandboxContext.disabled(),
        SandboxContext.external(),
        SandboxContext.read_only(cwd=WS),
        SandboxContext.workspace_write([WS]),
        SandboxContext.from_policy({"type": "workspaceWrite", "writableRoots": ["/d"]}, cwd=WS),
    ],
)
def test_what_is_constructed_survives_the_wire(made: SandboxContext) -> None:
    assert SandboxContext.model_validate_json(made.to_json()) == made


# ---------------------------------------------------------------------- old forms


@pytest.mark.parametrize("spelling", ["readOnly", "read-only", "read_only", "ReadOnly"])
def test_the_old_read_only_form(spelling: str) -> None:
    expected = SandboxContext.read_only(cwd=WS).permissions
    for policy in (spelling, {"type": spelling}, {"mode": spelling, "networkAccess": False}):
        made = SandboxContext.from_policy(policy, cwd=WS)
        assert made.permissions == expected
        assert made.cwd == WS


@pytest.mark.parametrize("spelling", ["dangerFullAccess", "danger-full-access"])
def test_the_old_form_without_a_sandbox(spelling: str) -> None:
    made = SandboxContext.from_policy({"type": spelling}, cwd=WS)
    assert made.permissions == DisabledPermissions()


@pytest.mark.parametrize("spelling", ["externalSandbox", "external-sandbox"])
@pytest.mark.parametrize(
    ("access", "network"),
    [
        (True, "enabled"),
        ("enabled", "enabled"),
        (False, "restricted"),
        ("restricted", "restricted"),
    ],
)
def test_the_old_form_of_a_foreign_sandbox(spelling: str, access: Any, network: Any) -> None:
    made = SandboxContext.from_policy({"type": spelling, "networkAccess": access}, cwd=WS)
    assert made.permissions == ExternalPermissions(network=network)


@pytest.mark.parametrize("spelling", ["workspaceWrite", "workspace-write"])
def test_the_old_workspace_form_is_today_s(spelling: str) -> None:
    made = SandboxContext.from_policy(spelling, cwd=WS)
    assert made == SandboxContext.workspace_write([WS], cwd=WS)


def test_writable_roots_of_the_old_form_are_granted_one_by_one_and_protected() -> None:
    made = SandboxContext.from_policy(
        {
            "mode": "workspace-write",
            "writable_roots": ["/data", "file:///more"],
            "network_access": True,
            "exclude_slash_tmp": True,
            "exclude-tmpdir-env-var": True,
        },
        cwd=WS,
        roots=[PathUri.parse("file:///srv/second"), WS],
    )
    plain = SandboxContext.workspace_write([WS], exclude_slash_tmp=True, exclude_tmpdir=True)
    expected = entries_of(plain)
    for root in ("file:///data", "file:///more"):
        expected.append({"path": {"type": "path", "path": root}, "access": "write"})
        for name in PROTECTED:
            path = {"type": "path", "path": f"{root}/{name}"}
            expected.append({"path": path, "access": "read", "missing_path_behavior": "skip"})
    assert entries_of(made) == expected
    assert made.to_wire()["permissions"]["network"] == "enabled"
    assert made.to_wire()["workspaceRoots"] == [str(WS), "file:///srv/second"]


def test_restricted_reads_of_the_old_form() -> None:
    access = {"type": "restricted", "includePlatformDefaults": True, "readableRoots": ["/opt/x"]}
    made = SandboxContext.from_policy({"type": "readOnly", "access": access}, cwd=WS)
    readable = [
        special(kind="minimal"),
        {"path": {"type": "path", "path": "file:///opt/x"}, "access": "read"},
    ]
    assert entries_of(made) == readable
    writing = SandboxContext.from_policy(
        {"type": "workspaceWrite", "readOnlyAccess": access}, cwd=WS
    )
    assert entries_of(writing)[:2] == readable
    assert isinstance(writing.permissions, ManagedPermissions)
    assert isinstance(writing.permissions.file_system, RestrictedFileSystem)
    place = writing.permissions.file_system.entries[2]
    assert place.path == SpecialEntryPath(value=ProjectRootsPlace())
    assert place.access == "write"
    for full in ("fullAccess", {"type": "full-access"}):
        again = SandboxContext.from_policy({"type": "readOnly", "access": full}, cwd=WS)
        assert again.permissions == SandboxContext.read_only().permissions


@pytest.mark.parametrize(
    "policy",
    [
        "full",
        "",
        {},
        {"type": "readOnly", "surprise": 1},
        {"type": "readOnly", "writableRoots": ["/data"]},
        {"type": "readOnly", "networkAccess": "yes"},
        {"type": "readOnly", "networkAccess": 1},
        {"type": "readOnly", "network_access": True, "networkAccess": False},
        {"type": "readOnly", "access": "some"},
        {"type": "readOnly", "access": {"type": "restricted", "x": 1}},
        {"type": "readOnly", "access": {"type": "fullAccess", "readableRoots": []}},
        {"type": "workspaceWrite", "excludeSlashTmp": "false"},
        {"type": "workspaceWrite", "writableRoots": "/data"},
        {"type": "dangerFullAccess", "networkAccess": False},
    ],
)
def test_policies_that_would_have_to_be_guessed_at_are_refused(policy: Any) -> None:
    with pytest.raises(ValueError, match="sandbox policy"):
        SandboxContext.from_policy(policy, cwd=WS)


def test_a_relative_writable_root_is_refused() -> None:
    with pytest.raises(ValueError, match="absolute"):
        SandboxContext.from_policy({"type": "workspaceWrite", "writableRoots": ["d"]}, cwd=WS)


def test_roots_can_be_written_as_paths() -> None:
    uri = PathUri.parse("file:///srv/a%20b")
    for root in (uri, "/srv/a b", "file:///srv/a%20b", Path("/srv/a b")):
        context = SandboxContext.workspace_write([root])
        assert (context.workspace_roots, context.cwd) == ([uri], uri)
        assert SandboxContext.read_only(cwd=root).cwd == uri
        old = SandboxContext.from_policy("workspaceWrite", cwd=root, roots=["/more"])
        assert old.workspace_roots == [uri, PathUri.parse("file:///more")]
    with pytest.raises(InvalidPathError):
        SandboxContext.workspace_write(["relative"])


# ---------------------------------------------------------------------- remembered


def test_equal_contexts_of_requests_are_validated_once() -> None:
    first, second = (
        FsReadFileParams.model_validate({"path": "file:///f", "sandbox": context(cwd=str(WS))})
        for _ in range(2)
    )
    assert first.sandbox is second.sandbox
    other = FsRemoveParams.model_validate(
        {"path": "file:///f", "sandbox": context(cwd="file:///o")}
    )
    assert other.sandbox not in (None, first.sandbox)


def test_what_only_compares_equal_is_validated_for_itself() -> None:
    for flag in (True, False):
        params = {"path": "file:///f", "sandbox": context(useLegacyLandlock=flag)}
        found = FsReadFileParams.model_validate(params)
        assert found.sandbox is not None
        assert found.sandbox.use_legacy_landlock is flag
    for number in (1, 0, 1.0):
        with pytest.raises(ValidationError):
            FsReadFileParams.model_validate(
                {"path": "file:///f", "sandbox": context(useLegacyLandlock=number)}
            )


def test_few_contexts_are_remembered_and_none_may_be_very_large() -> None:
    def validated(wire: dict[str, Any]) -> SandboxContext | None:
        params = FsReadFileParams.model_validate({"path": "file:///f", "sandbox": wire})
        return params.sandbox

    def of_size(roots: int) -> dict[str, Any]:
        return context(workspaceRoots=[f"file:///srv/{number}" for number in range(roots)])

    assert validated(of_size(2000)) is validated(of_size(2000))
    with pytest.raises(ValidationError, match="a sandbox context has at most"):
        validated(of_size(30_000))
    for number in range(30):
        validated(of_size(3000 + number))
        known = sum(map(len, _sandbox_field._remembered))
        assert known <= _sandbox_field._REMEMBERED_BYTES
    for number in range(3 * _sandbox_field._REMEMBERED_MAX):
        validated(context(cwd=f"file:///srv/{number}"))
        assert len(_sandbox_field._remembered) <= _sandbox_field._REMEMBERED_MAX


def test_a_context_made_in_python_stays_the_same_object() -> None:
    made = SandboxContext.read_only()
    assert FsReadFileParams(path=WS, sandbox=made).sandbox is made
    assert FsReadFileParams(path=WS).sandbox is None
    assert FsReadFileParams.model_validate({"path": str(WS), "sandbox": None}).sandbox is None
    unusual = context(cwd=WS)  # not JSON, and accepted in Python
    found = FsReadFileParams.model_validate({"path": str(WS), "sandbox": unusual}).sandbox
    assert found is not None
    assert found.cwd == WS
