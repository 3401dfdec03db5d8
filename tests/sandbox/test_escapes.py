"""Known ways out, each tried from a sandboxed process, by root and by somebody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from exec_server.sandbox_check.escapes import ESCAPED, PROBES
from exec_server.sandbox_check.families import FAMILIES, Family
from exec_server.sandbox_check.target import Target, attempt, read_results
from exec_testkit.server import program

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]

OF_THE_MACHINE = {
    "another_convention", "io_uring", "keyrings", "make_device", "mount_proc_in_namespace",
    "open_by_handle", "open_devices", "remount_in_namespace", "look_below_mounts", "vsock",
    "write_devices_settings", "write_kernel_settings", "leave_chroot", "shared_memory_folder",
    "trace_server", "read_memory", "copy_memory", "steal_descriptor", "receive_mounts",
    "write_server_code", "replace_server_code",
}  # fmt: skip
"""What a machine, a container or a user other than root may be refused without a sandbox."""
ONLY_INSIDE = {"unmount_in_namespace", "type_into_terminal"}
"""What makes sense in a sandbox, or on a terminal, only."""


@pytest.mark.parametrize("name", sorted(PROBES.keys() - ONLY_INSIDE))
def test_an_attempt_succeeds_without_a_sandbox(name: str) -> None:
    # Otherwise it would show nothing that it fails inside.
    ours, theirs = socket.socketpair()
    with Target() as target, ours, theirs:
        done = subprocess.run(
            attempt([name], target.site),
            capture_output=True,
            check=False,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            text=True,
        )
    if done.returncode != ESCAPED and name in OF_THE_MACHINE:
        pytest.skip(f"refused without a sandbox as well: {done.stdout.strip()}")
    assert done.returncode == ESCAPED, done.stdout + done.stderr
    assert read_results(done.stdout.encode())[name][0] == "ESCAPED"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
async def test_no_attempt_gets_out_that_a_family_of_policies_promises_to_refuse(
    family: Family, executor: Any
) -> None:
    with executor.target() as target:
        policy = family.policy(target.site).to_wire()
        ended = await executor.attempt(family.promised, target.site, policy)
        assert {name: how for name, (verdict, how) in ended.items() if verdict != "refused"} == {}
        assert [*ended] == family.promised
        assert target.signs() == []


def test_every_attempt_is_promised_to_be_refused_by_a_family() -> None:
    assert {name for family in FAMILIES for name in family.promised} == PROBES.keys()


@pytest.mark.parametrize("name", ["write_outside", "create_protected", "connect_tcp"])
def test_signs_of_a_break_in_are_seen_from_outside(name: str) -> None:
    with Target() as target:
        assert target.signs() == []
        subprocess.run(attempt([name], target.site), check=False, stdout=subprocess.DEVNULL)
        assert target.signs() != []


def test_the_program_prints_a_table_and_ends_with_0() -> None:
    done = subprocess.run(
        [program("exec-server"), "sandbox-check"], capture_output=True, check=False, text=True
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0].startswith("bubblewrap ")
    tried = sum(len(family.promised) for family in FAMILIES)
    assert lines[-1] == (
        f"{len(PROBES)} ways out of {len(FAMILIES)} families of policies: "
        f"{tried} attempts, 0 succeeded"
    )
    assert sum(" refused " in line for line in lines) == tried
    assert len(lines) == 2 + len(FAMILIES) * len(PROBES)
    rest = [line for line in lines[1:-1] if " refused " not in line]
    assert all(line.endswith(" not promised") for line in rest)


def test_the_program_ends_with_1_when_something_gets_out() -> None:
    code = (
        "import sys; from exec_server.sandbox import planning;"
        "from exec_server.sandbox_check import check;"
        "check.plan_for_process = lambda *_, **__: planning.NO_SANDBOX;"
        "sys.exit(check.run_check(print))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    for family in FAMILIES:
        got = [row for row in rows if " ".join(row).startswith(family.name) and "ESCAPED" in row]
        assert got, family.name
    assert "workspace-write write outside            files      ESCAPED  wrote " in done.stdout
    assert " seen from outside " in done.stdout


def test_the_program_ends_with_2_when_an_attempt_was_not_made() -> None:
    code = (
        "import sys; from exec_server.sandbox_check import check;"
        "make = check.attempt;"
        "check.attempt = lambda names, *_, **__: make(names[:-1], *_, **__);"
        "sys.exit(check.run_check(print))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{[*PROBES][-1]} was not tried under {FAMILIES[0].name}" in done.stdout


def test_the_program_ends_with_2_where_nothing_can_be_confined() -> None:
    code = (
        "import sys; from exec_server.sandbox import bubblewrap;"
        "from exec_server.sandbox_check import check;"
        "bubblewrap._packaged = lambda: None; sys.exit(check.run_check(print))"
    )
    env = {**os.environ, "PATH": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=env, text=True
    )
    assert done.returncode == 2
    assert "exec-server[sandbox]" in done.stdout
