"""What a context amounts to, before anybody looks at the disk."""

from __future__ import annotations

from typing import Any

import pytest
from exec_server.sandbox.errors import (
    ContextIncompleteError,
    ForeignPathError,
    PolicyNotEnforceableError,
)
from exec_server.sandbox.rules import MINIMAL_PATHS, Access, Confinement, Purpose, Rules, derive
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.sandboxes import context, deny_glob, path, place, read_only, workspace_write


def rules(
    wire: dict[str, Any],
    purpose: Purpose = "process",
    cwd: bytes | None = b"/elsewhere",
    tmpdir: bytes | None = None,
) -> Rules:
    parsed = SandboxContext.model_validate(wire)
    return derive(parsed, purpose=purpose, process_cwd=cwd, tmpdir=tmpdir)


def with_permissions(permissions: dict[str, Any]) -> dict[str, Any]:
    return {"permissions": permissions, "windowsSandboxLevel": "disabled"}


@pytest.mark.parametrize("purpose", ["process", "worker"])
def test_disabled_confines_nothing(purpose: Purpose) -> None:
    assert rules(with_permissions({"type": "disabled"}), purpose).confinement is Confinement.NONE


@pytest.mark.parametrize(
    "permissions",
    [
        {"type": "external"},
        {"type": "managed", "file_system": {"type": "unrestricted"}},
        {
            "type": "managed",
            "file_system": {"type": "restricted", "entries": [place("root", "write")]},
        },
    ],
)
def test_only_the_network_of_processes_is_confined_when_files_are_free(
    permissions: dict[str, Any],
) -> None:
    closed = with_permissions({**permissions, "network": "restricted"})
    assert rules(closed).confinement is Confinement.NETWORK
    assert rules(closed, "worker").confinement is Confinement.NONE
    opened = with_permissions({**permissions, "network": "enabled"})
    assert rules(opened).confinement is Confinement.NONE


def test_a_worker_never_has_a_network_and_always_what_programs_need() -> None:
    wire = context([path("/srv/x", "write")], cwd="/srv", network="enabled")
    assert rules(wire).network == "enabled"
    assert rules(wire).paths == {b"/srv/x": Access.WRITE}
    worker = rules(wire, "worker")
    assert worker.network == "restricted"
    assert worker.paths == {b"/srv/x": Access.WRITE, **dict.fromkeys(MINIMAL_PATHS, Access.READ)}


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_entries_for_one_path_deny_beats_write_beats_read(order: int) -> None:
    entries = [path("/a", "read"), path("/a", "write"), path("/b", "write"), path("/b", "none")]
    assert rules(context(entries[::order])).paths == {b"/a": Access.WRITE, b"/b": Access.DENY}


def test_the_workspace_is_its_roots_and_nothing_when_there_are_none() -> None:
    entries = [
        place("project_roots", "write"),
        place("project_roots", subpath="./docs//api"),
        place("current_working_directory", "read"),
    ]
    assert rules(context(entries, roots=["/w1", "/w2"], cwd="/w1")).paths == {
        b"/w1": Access.WRITE,
        b"/w2": Access.WRITE,
        b"/w1/docs/api": Access.READ,
        b"/w2/docs/api": Access.READ,
    }
    assert rules(context(entries, cwd="/w1")).paths == {}


def test_the_context_that_counts_wins_over_the_flat_members() -> None:
    wire = context([place("project_roots", "write")], roots=["/flat"], cwd="/flat")
    wire["policyContext"] = {"cwd": "file:///counts", "workspaceRoots": ["file:///counts"]}
    assert rules(wire).paths == {b"/counts": Access.WRITE}
    wire["policyContext"] = {"cwd": "file:///counts", "workspaceRoots": []}
    assert rules(wire).paths == {}


@pytest.mark.parametrize("subpath", ["../out", "a/../../b", "/etc", "a\0b"])
def test_a_subpath_that_leads_out_grants_nothing_and_cannot_be_denied(subpath: str) -> None:
    for access in ("read", "write"):
        granted = context([place("project_roots", access, subpath=subpath)], roots=["/w"])
        assert rules(granted).paths == {}
    with pytest.raises(PolicyNotEnforceableError):
        rules(context([place("project_roots", "deny", subpath=subpath)], roots=["/w"]))


def test_places_without_a_path_of_their_own_mean_nothing() -> None:
    entries = [place("tmpdir", "write"), place("unknown", "write", path=":x")]
    assert rules(context(entries)).paths == {}
    assert rules(context(entries), tmpdir=b"/var/tmp/x").paths == {b"/var/tmp/x": Access.WRITE}
    assert rules(context(entries), tmpdir=b"relative").paths == {}


def test_what_is_denied_must_be_known() -> None:
    with pytest.raises(PolicyNotEnforceableError):
        rules(context([place("root"), place("unknown", "deny", path=":x")]))


def test_a_path_of_another_system_is_refused() -> None:
    windows = {"path": {"type": "path", "path": "file:///C:/x"}, "access": "deny"}
    for wire in (
        context([windows]),
        context([place("root")], roots=["/C:/x"]),
        context([place("root")], cwd="/C:/x"),
    ):
        with pytest.raises(ForeignPathError, match=r"invalid .* of the sandbox context"):
            rules(wire)


def test_a_file_request_that_needs_a_directory_is_refused_without_one() -> None:
    for entry in (place("project_roots", "write"), deny_glob("*.env")):
        with pytest.raises(ContextIncompleteError, match="cwd"):
            rules(context([place("root"), entry]), "worker")
    absolute = context([place("root"), deny_glob("/srv/*.env")])
    assert [glob.base for glob in rules(absolute, "worker").globs] == [b"/srv"]


def test_relative_patterns_start_in_the_policys_directory_else_in_the_process_s() -> None:
    entries = [place("root"), deny_glob("*.env")]
    assert rules(context(entries, cwd="/policy")).globs[0].base == b"/policy"
    assert rules(context(entries)).globs[0].base == b"/elsewhere"
    with pytest.raises(ContextIncompleteError):
        rules(context(entries), cwd=None)


def test_patterns_count_only_when_they_deny() -> None:
    entry = {**deny_glob("/srv/*.env"), "access": "write"}
    assert rules(context([place("root"), entry])).globs == ()


@pytest.mark.parametrize(
    "members",
    [{"windowsSandboxLevel": "mxc"}, {"useLegacyLandlock": True}],
    ids=["mxc", "landlock"],
)
def test_what_another_mechanism_would_have_to_enforce_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(PolicyNotEnforceableError):
        rules(read_only("/w", **members))


def test_an_override_changes_nothing() -> None:
    wire = workspace_write("/w")
    for value in ("escalatedSandboxWithRestrictions", "bypassSandboxFirstAttempt"):
        assert rules({**wire, "sandboxOverride": value}) == rules(wire)
