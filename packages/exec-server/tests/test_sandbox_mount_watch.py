"""Mounts that do not lie where they were put any more are noticed, whatever was done to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from exec_server.launching.launch import Launch, prepare
from exec_server.sandbox.planning import plan_for_process
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.liveness import inotify_watches
from exec_testkit.sandboxes import context, path, place

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
]

ENV = {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}


@contextmanager
def running(*entries: dict[str, object]) -> Iterator[Launch]:
    """A sandbox in which a program waits."""
    policy = SandboxContext.model_validate(context([place("root"), *entries]))
    plan = plan_for_process(policy, cwd=b"/", env=ENV)
    launch = prepare(plan, [b"cat"], env=ENV, cwd=b"/")
    popen = None
    try:
        popen = subprocess.Popen(
            launch.argv,
            executable=launch.executable,
            env=launch.env,
            cwd=launch.cwd,
            pass_fds=launch.pass_fds,
            stdin=subprocess.PIPE,
        )
        launch.spawned()
        launch.admit()
        yield launch
    finally:
        if popen is not None:
            popen.communicate(timeout=20)
        launch.close()


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    folder = Path(os.path.realpath(tmp_path)) / "above/ws"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("denied", "other", "sub/denied"):
        (folder / name).write_text(name)
    return folder


def policy(ws: Path) -> list[dict[str, object]]:
    denied = [path(ws / name, "deny") for name in ("denied", "sub/denied", "missing")]
    return [path(ws, "write"), *denied]


def _back(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.with_name("away").rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda ws: (ws / "other").rename(ws / "denied"),
        lambda ws: (ws / "denied").unlink(),
        lambda ws: (ws / "denied").rename(ws / "away"),
        lambda ws: (ws / "missing").unlink(),
        lambda ws: (ws / "other").rename(ws / "missing"),
        lambda ws: (ws / ".codex").rmdir(),
        lambda ws: (ws / ".git").rmdir(),
        lambda ws: (ws / ".git").rename(ws / "git"),
        lambda ws: (ws / "sub").rename(ws / "away"),
        lambda ws: ws.parent.rename(ws.parent.with_name("away")),
        lambda ws: _back(ws / "denied"),
    ],
)
def test_a_mount_that_was_lifted_or_moved_is_noticed_for_good(
    ws: Path, change: Callable[[Path], object]
) -> None:
    with running(*policy(ws)) as launch:
        assert launch.is_intact()
        change(ws)
        assert not launch.is_intact()
        assert not launch.is_intact()


def test_what_happens_beside_the_mounts_does_not_count(ws: Path) -> None:
    with running(*policy(ws)) as launch, running(*policy(ws)) as second:
        (ws / "new").mkdir()
        (ws / "new").rename(ws / "newer")
        (ws / "denied").write_text("changed")
        (ws / "denied").chmod(0o600)
        (ws / ".git/config").write_text("")
        (ws / "other").unlink()
        assert launch.is_intact()
        assert second.is_intact()


def test_a_denied_name_that_comes_where_nobody_inside_can_write_is_noticed(ws: Path) -> None:
    with running(path(ws / "gone/secret", "deny")) as launch:
        (ws / "other").rename(ws / "another")
        (ws / "new").mkdir()
        assert launch.is_intact()
        (ws / "gone").mkdir()
        assert not launch.is_intact()


def test_what_was_moved_before_does_not_count_against_a_new_sandbox(ws: Path) -> None:
    with running(*policy(ws)) as launch:
        _back(ws / "denied")  # nobody has asked yet
        with running(*policy(ws)) as later:
            assert later.is_intact()
        assert not launch.is_intact()


def test_a_sandbox_that_ends_takes_no_watch_of_another_along(ws: Path) -> None:
    before = inotify_watches()
    with running(*policy(ws)) as launch:
        with running(*policy(ws)):
            held = inotify_watches()
        assert inotify_watches() == held > before
        assert launch.is_intact()
        (ws / "denied").rename(ws / "away")
        assert not launch.is_intact()
    assert inotify_watches() == before
    assert not launch.is_intact()


def test_a_sandbox_without_mounts_is_always_intact() -> None:
    with running(place("root", "write")) as launch:
        assert launch.is_intact()
