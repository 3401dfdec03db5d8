"""A command that cannot be kept from what is denied is ended, and others are left alone."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from exec_server.launching.launch import Launch, prepare
from exec_server.launching.launch_threads import LaunchThreads
from exec_server.launching.spawn import Child
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.mounter import can_mount
from exec_server.sandbox.mounts import Plan
from exec_server.sandbox.planning import plan_for_process
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.liveness import inotify_watches
from exec_testkit.sandboxes import context, path, place

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
]

ENV = {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    popen = subprocess.Popen(
        launch.argv,
        executable=launch.executable,
        env=launch.env,
        cwd=launch.cwd,
        pass_fds=launch.pass_fds,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    launch.spawned()
    return popen


@asynccontextmanager
async def running(
    pool: LaunchThreads, ws: Path, policy: SandboxContext | None = None
) -> AsyncIterator[Child]:
    """A command that waits."""
    entries = [place("root"), path(ws, "write"), path(ws / "denied", "deny")]
    policy = policy or SandboxContext.model_validate(context(entries))
    replan = partial(plan_for_process, policy, cwd=b"/", env=ENV)
    launch = prepare(replan(), [b"cat"], env=ENV, cwd=b"/", replan=replan)
    popen = _spawn(launch)
    child = Child(popen, None, (), None, launch)
    try:
        await pool.admit(child)
        yield child
    finally:
        pool.release(launch)
        await pool.wait_released()
        popen.communicate(timeout=20)


@pytest.fixture
async def pool() -> AsyncIterator[LaunchThreads]:
    before = inotify_watches()
    made = LaunchThreads()
    yield made
    await made.wait_released()
    made.close()
    assert inotify_watches() == before


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    folder = Path(os.path.realpath(tmp_path)) / "ws"
    folder.mkdir()
    (folder / "denied").write_text("denied")
    (folder / "new").write_text("new")
    return folder


async def until(condition: Callable[[], bool]) -> None:
    def wait() -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    await asyncio.to_thread(wait)


async def test_a_command_is_ended_when_nothing_can_be_mounted_again(
    pool: LaunchThreads, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exec_server.launching.confined.can_mount", lambda: False)
    other = ws.with_name("other")
    other.mkdir()
    (other / "denied").write_text("denied")
    async with running(pool, ws) as child, running(pool, other) as neighbour:
        (ws / "new").rename(ws / "denied")
        code = await asyncio.to_thread(child.popen.wait, 20)
        assert code == 128 + signal.SIGKILL
        assert neighbour.popen.poll() is None


async def test_a_command_is_ended_when_what_is_denied_has_become_something_that_cannot_be(
    pool: LaunchThreads, ws: Path
) -> None:
    async with running(pool, ws) as child:
        (ws / ".git").rmdir()
        (ws / ".git").symlink_to("new")  # which somebody inside can write
        assert await asyncio.to_thread(child.popen.wait, 20) == 128 + signal.SIGKILL


@pytest.mark.skipif(not can_mount(), reason="Linux older than 5.12 has no such calls")
async def test_nothing_keeps_the_loop_busy_when_commands_have_ended(
    pool: LaunchThreads, ws: Path
) -> None:
    for _ in range(2):
        async with running(pool, ws):
            pass
    assert pool._keeper is not None
    await asyncio.sleep(0)  # what is left to be read is read in one turn of the loop
    await asyncio.sleep(0)
    assert select.select([pool._keeper.watcher.fileno()], [], [], 0)[0] == []


@pytest.mark.parametrize("files_are_free", [False, True])
async def test_a_command_goes_on_however_often_it_is_mended(
    pool: LaunchThreads, ws: Path, files_are_free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = None
    if files_are_free:  # but for those that say who may come in
        monkeypatch.setattr("exec_server.sandbox.secret_files._secret", {str(ws / "denied"): None})
        policy = SandboxContext.external()
    async with running(pool, ws, policy) as child:
        for number in range(20):
            denied, inside = ws / "denied", Path(f"/proc/{_inside(child)}/root{ws}/denied")
            (ws / "new").write_text(str(number))
            (ws / "new").rename(denied)
            await until(lambda inside=inside: inside.stat().st_size == 0)  # type: ignore[misc]
            assert denied.read_text() == str(number)
        assert child.popen.poll() is None
        keeper = pool._keeper
        assert keeper is not None
        # A mending in progress watches less, for a moment.
        await until(lambda: child.launch.is_intact() and not keeper._mending)
        held = inotify_watches()
        (ws / "new").write_text("")
        (ws / "new").rename(ws / "denied")
        await until(lambda: inotify_watches() <= held)


async def test_what_is_taken_away_between_plan_and_watch_is_denied_when_it_comes_back(
    pool: LaunchThreads, ws: Path
) -> None:
    entries = [place("root"), path(ws, "read"), path(ws / "denied", "deny")]
    policy = SandboxContext.model_validate(context(entries))
    async with running(pool, ws, policy) as child:
        replan = child.launch.replan
        assert replan is not None
        plans: list[Plan] = []

        def replan_late() -> Plan:
            plans.append(replan())
            if len(plans) == 1:
                (ws / "denied").unlink()
            return plans[-1]

        child.launch.replan = replan_late
        (ws / "new").rename(ws / "denied")
        await until(lambda: bool(plans) and bool(plans[-1].absent) and child.launch.is_intact())
        (ws / "denied").write_text("again")
        inside = Path(f"/proc/{_inside(child)}/root{ws}/denied")
        await until(lambda: inside.stat().st_size == 0)


async def test_a_command_does_not_start_when_what_is_denied_came_to_be_after_its_plan(
    pool: LaunchThreads, ws: Path
) -> None:
    (ws / "denied").unlink()
    entries = [place("root"), path(ws, "read"), path(ws / "denied", "deny")]
    policy = SandboxContext.model_validate(context(entries))
    launch = prepare(
        plan_for_process(policy, cwd=b"/", env=ENV), [b"cat"], env=ENV, cwd=b"/", replan=None
    )
    (ws / "denied").write_text("denied")
    popen = _spawn(launch)
    try:
        with pytest.raises(PolicyNotEnforceableError, match="changed while"):
            await pool.admit(Child(popen, None, (), None, launch))
    finally:
        pool.release(launch)
        await pool.wait_released()
        popen.communicate(timeout=20)


def _inside(child: Child) -> int:
    return child.launch._inner_pid  # type: ignore[attr-defined,no-any-return]
