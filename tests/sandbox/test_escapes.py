"""Known ways out, each tried from a sandboxed process, by root and by somebody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from exec_server.sandbox.check import policy
from exec_server.sandbox.escapes import ESCAPED, PROBES
from exec_server.sandbox.interpreter import own_files
from exec_server.sandbox.target import Target, attempt
from exec_testkit.sandboxes import context, path, place
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
}  # fmt: skip
"""What a machine, a container or a user other than root may be refused without a sandbox."""
ONLY_INSIDE = {"unmount_in_namespace", "type_into_terminal"}
"""What makes sense in a sandbox, or on a terminal, only."""
BESIDE_THE_POINT = {"write_start_up_files"}
"""Where reading is restricted, a home is made of memory, and what is written there is lost."""
BY_THE_NETWORK = {
    "connect_tcp", "send_udp", "netlink", "connect_named_socket", "connect_abstract_socket",
    "send_to_named_socket",
}  # fmt: skip
"""Allowed when the policy allows the network."""


@pytest.mark.parametrize("name", sorted(PROBES.keys() - ONLY_INSIDE))
def test_an_attempt_succeeds_without_a_sandbox(name: str, tmp_path_factory: Any) -> None:
    # Otherwise it would show nothing that it fails inside.
    home = tmp_path_factory.mktemp("home")
    ours, theirs = socket.socketpair()
    with Target() as target, ours, theirs:
        done = subprocess.run(
            attempt(name, target.site),
            capture_output=True,
            check=False,
            env={**os.environ, "HOME": str(home)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            text=True,
        )
    if done.returncode != ESCAPED and name in OF_THE_MACHINE:
        pytest.skip(f"refused without a sandbox as well: {done.stdout.strip()}")
    assert done.returncode == ESCAPED, done.stdout + done.stderr


@pytest.mark.parametrize("name", PROBES)
async def test_an_attempt_fails_in_a_sandbox(name: str, executor: Any) -> None:
    with executor.target() as target:
        got = await executor.attempt(name, target.site, policy(target.site).to_wire())
        assert got is None
        assert target.signs() == []


@pytest.mark.parametrize("name", sorted(PROBES.keys() - BY_THE_NETWORK))
async def test_a_network_opens_no_other_way(name: str, executor: Any) -> None:
    with executor.target() as target:
        wire = policy(target.site).to_wire()
        wire["permissions"]["network"] = "enabled"
        assert await executor.attempt(name, target.site, wire) is None
        assert target.signs() == []


@pytest.mark.parametrize("name", sorted(PROBES.keys() - BESIDE_THE_POINT))
async def test_an_attempt_fails_where_reading_is_restricted(name: str, executor: Any) -> None:
    with executor.target() as target:
        site = target.site
        entries = [
            place("minimal"),
            *(path(os.fsdecode(file), "read") for file in own_files()),
            path(os.path.dirname(attempt.__code__.co_filename), "read"),
            path(site.root, "write"),
            path(f"{site.root}/denied", "deny"),
            path(f"{site.root}/sub/denied-file", "deny"),
        ]
        assert await executor.attempt(name, site, context(entries)) is None
        assert target.signs() == []


@pytest.mark.parametrize("name", ["write_outside", "create_protected", "connect_tcp"])
def test_signs_of_a_break_in_are_seen_from_outside(name: str) -> None:
    with Target() as target:
        assert target.signs() == []
        subprocess.run(attempt(name, target.site), check=False, stdout=subprocess.DEVNULL)
        assert target.signs() != []


def test_the_program_prints_a_table_and_ends_with_0() -> None:
    done = subprocess.run(
        [program("exec-server"), "sandbox-check"], capture_output=True, check=False, text=True
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0].startswith("bubblewrap ")
    assert lines[-1] == f"{len(PROBES)} ways out tried, 0 succeeded"
    assert sum(" refused " in line for line in lines) == len(PROBES)


def test_the_program_ends_with_1_when_something_gets_out(tmp_path: Any) -> None:
    code = (
        "import sys; from exec_server.sandbox import check, facade, rules;"
        "check.plan_for_process = lambda *_, **__: facade.NO_SANDBOX;"
        "sys.exit(check.run_check(print))"
    )
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=env, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "write outside              ESCAPED" in done.stdout


def test_the_program_ends_with_2_where_nothing_can_be_confined() -> None:
    code = (
        "import sys; from exec_server.sandbox import bubblewrap, check;"
        "bubblewrap._packaged = lambda: None; sys.exit(check.run_check(print))"
    )
    env = {**os.environ, "PATH": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=env, text=True
    )
    assert done.returncode == 2
    assert "exec-server[sandbox]" in done.stdout
