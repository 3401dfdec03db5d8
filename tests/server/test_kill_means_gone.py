"""What was ended is gone: each kind of tree, in each way of ending."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from exec_server.runtime.cgroups import own_group
from exec_testkit.liveness import descendants, wait_gone
from exec_testkit.sandboxes import workspace_write
from exec_testkit.server import ServerProcess, program, server_below
from exec_testkit.trees import KINDS, command, members, zombies_of
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECONDS = 5.0
"""For everything to be gone: two on a machine that does nothing else."""

TTL = 0.3
"""Of a detached session, where that is what is waited for."""

MEANS = ("group", "supervisor", "alone")

_COVERED = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
_NO_GROUPS = ["unshare", "--mount", "sh", "-c", _COVERED, "sh"]


@contextmanager
def _served(means: str, ttl: float = 30.0) -> Iterator[ServerProcess]:
    """Run a server that has no more than some means to end trees."""
    options = ["--listen", "ws://127.0.0.1:0", "--session-ttl-seconds", str(ttl)]
    ours = [program("exec-server"), *options]
    if means == "group" and own_group() is None:
        pytest.skip("no control groups can be made here")
    if means != "group" and own_group() is not None:
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            pytest.skip("control groups cannot be hidden here")
        ours = [*_NO_GROUPS, *ours]
    if means == "alone":
        ours.append("--no-supervisor")
    with ServerProcess(command=ours) as server:
        yield server


class _Trees:
    """One tree of each kind, in one session."""

    def __init__(self, client: WireClient, tokens: dict[str, str]) -> None:
        self.client = client
        self._tokens = tokens

    @classmethod
    async def make(cls, url: str, *, ends: bool = False, sandbox: object = None) -> _Trees:
        client = await WireClient.ready(url)
        tokens = {kind: secrets.token_hex(8) for kind in KINDS}
        for kind, token in tokens.items():
            more = {} if sandbox is None else {"sandbox": sandbox}
            argv = command(kind, token, ends=ends)
            await client.start(kind, argv, tty=kind == "job", details=True, **more)
            await client.output_until(b"ready")
        return cls(client, tokens)

    def left(self) -> dict[str, int]:
        """Return how many members of which kinds there are."""
        found = {kind: len(members(token)) for kind, token in self._tokens.items()}
        return {kind: count for kind, count in found.items() if count}

    async def gone(self, seconds: float = SECONDS) -> dict[str, int]:
        """Wait until nothing is left, and stays away; returns what is left."""
        deadline = time.monotonic() + seconds
        clean = 0
        while clean < 3:  # what is another process every moment may be missed by one look
            left = await asyncio.to_thread(self.left)
            clean = 0 if left else clean + 1
            if time.monotonic() > deadline:
                return left
            await asyncio.sleep(0.02)
        return {}


async def _without_zombies(server: ServerProcess) -> None:
    async with asyncio.timeout(SECONDS):
        parents = {server.pid, server.supervisor, os.getpid()}
        while await asyncio.to_thread(zombies_of, parents):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


def _own_groups() -> set[str]:
    group = own_group()
    return set() if group is None else {n for n in os.listdir(group.path) if "exec-server" in n}


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("ends", [False, True])
async def test_terminate_leaves_nothing_of_a_tree(means: str, ends: bool) -> None:
    with _served(means) as server:
        trees = await _Trees.make(server.url, ends=ends)
        for kind in KINDS:
            await trees.client.call("process/terminate", {"processId": kind})
        assert await trees.gone() == {}
        await _without_zombies(server)
        await trees.client.close()


@pytest.mark.parametrize("means", MEANS)
async def test_a_session_that_expires_leaves_nothing(means: str) -> None:
    with _served(means, TTL) as server:
        trees = await _Trees.make(server.url, ends=True)
        trees.client.abort()
        assert await trees.gone(SECONDS + TTL) == {}
        await _without_zombies(server)


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_end_leaves_nothing(means: str, number: int) -> None:
    with _served(means) as server:
        trees = await _Trees.make(server.url)
        server.signal(number)
        assert await trees.gone() == {}
        assert await asyncio.to_thread(server.wait) == 0
        trees.client.abort()
    if means == "group":
        assert not any(str(server.supervisor) in name for name in _own_groups())


@pytest.mark.parametrize("means", ["group", "supervisor"])
async def test_a_server_that_is_killed_leaves_nothing(means: str) -> None:
    with _served(means) as server:
        trees = await _Trees.make(server.url)
        os.kill(server.pid, signal.SIGKILL)
        assert await trees.gone() == {}
        assert await asyncio.to_thread(server.wait) == -signal.SIGKILL
        trees.client.abort()
    assert not any(str(server.supervisor) in name for name in _own_groups())


@pytest.mark.parametrize("means", ["group", "supervisor"])
async def test_a_supervisor_that_is_killed_takes_the_server_and_its_trees_along(means: str) -> None:
    with _served(means) as server:
        trees = await _Trees.make(server.url)
        os.kill(server.supervisor, signal.SIGKILL)
        assert await trees.gone() == {}
        assert await asyncio.to_thread(wait_gone, server.pid)
        trees.client.abort()
    assert not any(str(server.supervisor) in name for name in _own_groups())


@pytest.mark.parametrize("means", ["group", "supervisor"])
@pytest.mark.parametrize("how", ["terminate", "expiry", "server", "supervisor"])
async def test_nothing_of_sandboxed_trees_is_left_nor_what_they_had_on_the_disk(
    means: str, how: str, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with _served(means, TTL if how == "expiry" else 30.0) as server:
        try:
            trees = await _Trees.make(server.url, sandbox=workspace_write(workspace))
        except WireError as error:
            pytest.skip(f"nothing can be confined here: {error}")
        assert os.listdir(workspace) != []  # placeholders
        if how == "terminate":
            for kind in KINDS:
                await trees.client.call("process/terminate", {"processId": kind})
        elif how != "expiry":
            os.kill(getattr(server, {"server": "pid"}.get(how, how)), signal.SIGKILL)
        if how != "terminate":
            trees.client.abort()
        assert await trees.gone(SECONDS + TTL) == {}
        assert await asyncio.to_thread(_is_empty, workspace)


def _is_empty(folder: Path) -> bool:
    deadline = time.monotonic() + SECONDS
    while os.listdir(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not os.listdir(folder)


async def test_an_owner_that_is_killed_takes_its_server_and_its_trees_along() -> None:
    token = secrets.token_hex(8)
    owner = [sys.executable, "-c", _OWNER, program("exec-server"), "--exit-on-stdin-close"]
    with subprocess.Popen(owner, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        pid, url = (await asyncio.to_thread(process.stdout.readline)).decode().split()
        client = await WireClient.ready(url)
        await client.start("p", command("orphan", token))
        await client.output_until(b"ready")
        server = server_below(int(pid))
        process.kill()
        assert await asyncio.to_thread(wait_gone, server, SECONDS)
        assert await asyncio.to_thread(wait_gone, int(pid), SECONDS)
        assert members(token) == []
        client.abort()


_OWNER = """
import subprocess, sys, time
pipe = subprocess.PIPE
child = subprocess.Popen(sys.argv[1:], stdin=pipe, stdout=pipe, text=True)
print(child.pid, child.stdout.readline().strip(), flush=True)
time.sleep(120)
"""


async def test_others_of_the_session_and_of_other_sessions_are_left_alone() -> None:
    with _served("alone", TTL) as server:
        one, other = await WireClient.ready(server.url), await WireClient.ready(server.url)
        tokens = [secrets.token_hex(8) for _ in range(3)]
        for client, name, token in ((one, "a", 0), (one, "b", 1), (other, "a", 2)):
            await client.start(name, command("daemon", tokens[token]))
            await client.output_until(b"ready")
        await one.call("process/terminate", {"processId": "a"})
        assert await asyncio.to_thread(_all_gone, tokens[0])
        assert [len(members(token)) for token in tokens[1:]] == [2, 2]
        one.abort()
        assert await asyncio.to_thread(_all_gone, tokens[1])
        assert len(members(tokens[2])) == 2
        await other.close()


def _all_gone(token: str) -> bool:
    deadline = time.monotonic() + SECONDS + 1
    while members(token) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not members(token)


# ---------------------------------------------------------------------- grace

_POLITE = """
import os, signal, sys, time
def end(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write("asked\\n")
    os._exit(0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(120)
signal.signal(signal.SIGTERM, end)
if sys.argv[2] == "leader":
    os.setpgid(0, 0) if os.getpid() != os.getsid(0) else None
print("there", flush=True)
time.sleep(120)
"""


async def test_grace_asks_the_whole_tree_before_it_is_killed(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    with _served("supervisor") as server:
        client = await WireClient.ready(server.url)
        argv = [sys.executable, "-c", _POLITE, str(asked), "leader"]
        await client.start("p", argv)
        said = b""
        while said.count(b"\n") < 3:
            said += await client.output_until(b"\n")
        stubborn = int(next(word for word in said.split() if word.isdigit()))
        started = time.monotonic()
        answer = await client.call("process/terminate", {"processId": "p", "graceMs": 700})
        assert answer == {"running": True}
        await client.finish("p")
        assert await asyncio.to_thread(wait_gone, stubborn, SECONDS)
        assert time.monotonic() - started >= 0.6
        assert (
            asked.read_text() == "asked\n" * 2
        )  # the leader, and its child in a session of its own
        await client.close()


async def test_too_long_a_grace_is_refused() -> None:
    with _served("supervisor") as server:
        client = await WireClient.ready(server.url)
        params = {"processId": "p", "graceMs": 3_600_001}
        with pytest.raises(Exception, match="graceMs"):
            await client.call("process/terminate", params)
        await client.close()


# ---------------------------------------------------------------------- the supervisor


def test_the_first_process_of_a_namespace_reaps_passes_signals_on_and_ends() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("no namespace can be made here")
    inside = ["unshare", "--pid", "--fork", "--mount-proc", program("exec-server")]
    with ServerProcess(command=[*inside, "--listen", "ws://127.0.0.1:0"]) as server:
        asyncio.run(_orphans_are_reaped(server))
        below = descendants(server.supervisor) - {server.supervisor}
        first = min(below)
        os.kill(first, signal.SIGTERM)
        assert server.wait() == 0
        assert all(wait_gone(pid, SECONDS) for pid in below)


async def _orphans_are_reaped(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start(
        "p", ["sh", "-c", "for i in 1 2 3; do (setsid sleep 0.05 &) ; done; echo ready"]
    )
    await client.finish("p")
    async with asyncio.timeout(10):
        while True:
            below = await asyncio.to_thread(descendants, server.supervisor)
            if len(below) == 3 and not zombies_of(below):  # unshare, the supervisor, the server
                break
            await asyncio.sleep(0.02)
    await client.close()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_ends_the_program_as_it_ends_the_server(number: int) -> None:
    with _served("supervisor") as server:
        server.signal(number)
        assert server.wait() == -number
        assert wait_gone(server.pid)


def test_the_exit_status_of_the_server_is_that_of_the_program() -> None:
    refused = [program("exec-server"), "--listen", "ws://198.51.100.1:1"]
    assert subprocess.run(refused, check=False, capture_output=True, timeout=30).returncode == 1
    wrong = [program("exec-server"), "--no-such-option"]
    assert subprocess.run(wrong, check=False, capture_output=True, timeout=30).returncode == 2


@pytest.mark.alone
def test_the_supervisor_is_small(tmp_path: Path) -> None:
    # With compiled bytecode, as it is installed: compiling takes a megabyte.
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    with ServerProcess(env=env):
        pass
    with ServerProcess(env=env) as server:
        rollup = Path(f"/proc/{server.supervisor}/smaps_rollup").read_text(encoding="ascii")
        words = [line.split() for line in rollup.splitlines()]
        own = next(int(word[1]) for word in words if word[0] == "Pss_Anon:")
        assert server.pid != server.supervisor
        # The rest are files, shared with as many programs in Python as run.
        assert own <= 3 * 1024


async def test_what_is_in_force_is_announced() -> None:
    expected = {"supervisor": (False, True), "alone": (False, False)}
    if own_group() is not None:
        expected["group"] = (True, True)
    for means, flags in expected.items():
        with _served(means) as server:
            client = await WireClient.ready(server.url)
            told = client.info["capabilities"]
            names = ("processTreesByGroup", "processTreesSupervised")
            assert tuple(told[name] for name in names) == flags
            assert told["processTrees"] is True
            await client.close()
