"""Patterns that are meant to take for ever take nobody else's time, and no server with them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.sandboxes import deny_glob, read_only
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.alone, pytest.mark.process]

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux only")
ANSWER_SECONDS = 20.0
"""Of a server on a loaded machine to somebody else. A frozen one never answers."""
STOP_SECONDS = 8.0


def _policy(**members: Any) -> dict[str, Any]:
    return {
        "inherit": "none",
        "ignoreDefaultExcludes": True,
        "exclude": [],
        "set": {"A" * 400: "1"},
        "includeOnly": [],
        **members,
    }


STARS = "*A" * 8 + "*B"
START = {"processId": "p", "argv": ["true"], "cwd": "file:///", "env": {}, "tty": False}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with many names that are as long as names can be."""
    folder = tmp_path_factory.mktemp("crowded")
    for number in range(2000):
        (folder / f"{'A' * 240}{number:06}").touch()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


async def _asks(other: WireClient, seconds: float) -> None:
    """Have another client's calls answered, for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        assert await other.call("environment/status") == {"status": "ready"}
        assert time.monotonic() - started < ANSWER_SECONDS


@pytest.mark.parametrize(
    "policy",
    [
        _policy(includeOnly=[STARS]),
        _policy(includeOnly=["*A" * 64 + "*B"]),
        _policy(inherit="all", includeOnly=[*["*?" * 60 + "B"] * 30, "PATH"]),
        _policy(inherit="all", exclude=["*A*" * 60 + "B"]),
    ],
)
async def test_a_hostile_env_policy_is_matched_like_any_other(
    server: ServerProcess, policy: dict[str, Any]
) -> None:
    client, other = await WireClient.ready(server.url), await WireClient.ready(server.url)
    await client.start("p", ["/usr/bin/env"], env={"A": "1"}, envPolicy=policy)
    await _asks(other, 0.2)
    output, code, _ = await client.finish("p")
    assert code == 0
    assert b"A=1\n" in output["stdout"]
    await client.close()
    await other.close()


async def test_an_env_policy_that_would_take_long_is_refused(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    policy = _policy(includeOnly=["*A*B"] * 5000)
    assert await client.refused("process/start", {**START, "envPolicy": policy}) == -32603
    await client.start("p", ["true"])  # the id is free again
    await client.close()


def _hostile(folder: Path) -> dict[str, Any]:
    entries = [deny_glob(f"{folder}/**/{'*A' * 60}B{number}") for number in range(250)]
    context = read_only(folder)
    context["permissions"]["file_system"]["entries"] += entries
    return context


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("method", ["process/start", "fs/readFile"])
async def test_hostile_deny_patterns_hold_up_nobody_else(crowded: Path, method: str) -> None:
    """Neither calls nor starts of others, however many of them are searched for at once."""
    sandbox = _hostile(crowded)
    with ServerProcess() as server:
        clients = [await WireClient.ready(server.url) for _ in range(10)]
        asked = []
        for client in clients:
            params: dict[str, Any] = {**START, "sandbox": sandbox}
            if method == "fs/readFile":
                params = {"path": f"file://{crowded}/x", "sandbox": sandbox}
            asked.append(await client.request(method, params))
        other = await WireClient.ready(server.url)
        await _asks(other, 1.0)
        started = time.monotonic()
        await other.start("p", ["true"])
        assert time.monotonic() - started < ANSWER_SECONDS
        with pytest.raises(TimeoutError):  # they are still searched for
            async with asyncio.timeout(0.2):
                await clients[-1].answer(asked[-1])
        server.signal(signal.SIGTERM)
        started = time.monotonic()
        assert server.wait(STOP_SECONDS) == 0
        assert time.monotonic() - started < STOP_SECONDS


@LINUX
async def test_deny_patterns_with_many_stars_hide_what_they_match(
    server: ServerProcess, root: Path
) -> None:
    (root / ("A" * 250)).write_text("secret")
    (root / "B").write_text("open")
    context = read_only(root)
    context["permissions"]["file_system"]["entries"].append(deny_glob(f"{root}/{'*A' * 64}*"))
    client = await WireClient.ready(server.url)
    await client.call("fs/readFile", {"path": f"file://{root}/B", "sandbox": context})
    path = f"file://{root}/{'A' * 250}"
    assert await client.refused("fs/readFile", {"path": path, "sandbox": context}) != 0
    await client.close()
