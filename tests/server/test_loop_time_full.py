"""No request holds the event loop for long where the server holds as much as its limits allow.

``test_loop_time`` has the largest requests; here the state is large: processes, their output in
memory and on disk, sessions, requests that wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from exec_server_protocol.limits import NAME_MAX_CHARACTERS
from exec_testkit.liveness import descendants, wait_gone
from exec_testkit.loop_watch import Held, LoopWatch, at_this_speed
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

HELD_SECONDS: Final = 0.030
"""What one step may hold the loop for. The largest take up to 20 ms on a quiet machine; what is to
be found here takes a hundred."""

ATTEMPTS: Final = 3
"""What is loaded with the first of its kind, is not loaded each time."""

PROCESSES: Final = 1000
MIB: Final = 1024 * 1024
BYTEWISE: Final = """
import array, fcntl, os, termios
left = array.array("i", [1])
for _ in range(30_000):
    for stream in (1, 2):
        os.write(stream, b"x")
        while not fcntl.ioctl(stream, termios.FIONREAD, left, True) and left[0]:
            os.sched_yield()
"""
"""Writes 60,000 bytes of which each is read alone: more pieces than are kept in memory."""


class Watched(NamedTuple):
    server: ServerProcess
    watch: LoopWatch

    async def held(self, action: Callable[[int], Awaitable[object]]) -> Held:
        """Return what an action holds the loop for each time that it is done."""
        shortest = Held(1.0, "nothing")
        for attempt in range(ATTEMPTS):
            self.watch.forget()
            await action(attempt)
            other = await WireClient.ready(self.server.url)
            await other.call("environment/status")
            await other.close()
            shortest = min(shortest, self.watch.longest())
            if shortest.seconds < at_this_speed(HELD_SECONDS):
                break
        return shortest


def _watched(*arguments: str) -> Iterator[Watched]:
    watch = LoopWatch()
    arguments = ("--listen", "ws://127.0.0.1:0", *arguments)
    with ServerProcess(*arguments, command=watch.command, env=watch.env) as server:
        yield Watched(server, watch)
    watch.close()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    yield from _watched()


@pytest.fixture(scope="module")
def short_lived() -> Iterator[Watched]:
    yield from _watched("--session-ttl-seconds", "1")


async def _resumed(url: str, session_id: str, **members: Any) -> WireClient:
    async with asyncio.timeout(10):
        while True:  # -32010: the old connection is not gone yet
            client = await WireClient.dial(url)
            params = {"clientName": "testkit", "resumeSessionId": session_id, **members}
            try:
                await client.call("initialize", params)
            except WireError as error:
                await client.close()
                if error.code != -32010:
                    raise
                continue
            await client.send_raw('{"method":"initialized"}')
            return client


async def _with_output(watched: Watched, folder: Path, argv: list[str]) -> str:
    """Let processes write while nobody is attached. Returns the session."""
    client = await WireClient.ready(watched.server.url)
    session_id = client.session_id
    os.mkdir(folder)
    ended = [folder / f"ended{number}" for number in range(ATTEMPTS)]
    script = f'while ! [ -e {folder}/go ]; do sleep 0.05; done; "$@"; touch "$0"'
    for number in range(ATTEMPTS):
        await client.start(f"p{number}", ["sh", "-c", script, str(ended[number]), *argv])
    client.abort()
    (await _resumed(watched.server.url, session_id)).abort()  # so the first one is gone
    other = await WireClient.ready(watched.server.url)
    (folder / "go").touch()
    async with asyncio.timeout(120):
        while not all(one.exists() for one in ended):
            await other.call("environment/status")
    await other.close()
    return session_id


async def _taken(client: WireClient, method: str, params: Any) -> int:
    """Ask, and return the length of the answer without looking into it."""
    await client.send_raw(json.dumps({"id": "large", "method": method, "params": params}))
    async with asyncio.timeout(60):
        while True:
            message = await client.connection.recv()
            if '"large"' in message[:40]:
                assert '"error"' not in message[:40]
                return len(message)


@pytest.mark.parametrize(
    "argv",
    [["head", "-c", "60000000", "/dev/zero"], [sys.executable, "-c", BYTEWISE]],
    ids=["large", "bytewise"],
)
@pytest.mark.parametrize("method", ["process/read", "process/catchUp"])
async def test_output_that_was_missed(
    watched: Watched, tmp_path: Path, method: str, argv: list[str]
) -> None:
    await _with_output(watched, tmp_path / "first", ["head", "-c", "4000000", "/dev/zero"])
    watched.watch.forget()
    session_id = await _with_output(watched, tmp_path / "many", argv)
    kept = watched.watch.longest()
    members = {"catchUp": True} if method == "process/catchUp" else {}
    client = await _resumed(watched.server.url, session_id, **members)

    async def ask(number: int) -> None:
        params = {"processId": f"p{number}", "afterSeq": 0, "maxBytes": 2**63}
        assert await _taken(client, method, params) > 2_000_000

    held = await watched.held(ask)
    assert held.seconds < at_this_speed(HELD_SECONDS), held
    assert kept.seconds < at_this_speed(HELD_SECONDS), kept
    await client.close()


async def test_a_thousand_processes(watched: Watched) -> None:
    client = await WireClient.ready(watched.server.url)
    for number in range(PROCESSES):
        await client.start(f"{number:04}".ljust(NAME_MAX_CHARACTERS, "\x01"), ["sleep", "600"])

    async def listed(_attempt: int) -> None:
        assert await _taken(client, "process/list", {}) > PROCESSES * NAME_MAX_CHARACTERS

    held = await watched.held(listed)
    session_id = client.session_id

    async def resumed(_attempt: int) -> None:
        nonlocal client
        client.abort()
        client = await _resumed(watched.server.url, session_id)

    again = await watched.held(resumed)
    assert held.seconds < at_this_speed(HELD_SECONDS), held
    assert again.seconds < at_this_speed(HELD_SECONDS), again
    await client.close()


async def test_the_end_of_a_session_with_a_thousand_processes(short_lived: Watched) -> None:
    async def ends(_attempt: int) -> None:
        client = await WireClient.ready(short_lived.server.url)
        for number in range(PROCESSES):
            await client.start(f"{number}", ["sleep", "600"])
        pids = descendants(short_lived.server.pid)
        assert len(pids) >= PROCESSES
        client.abort()
        pids.discard(short_lived.server.pid)
        assert all(await asyncio.to_thread(lambda: [*map(wait_gone, pids)]))

    held = await short_lived.held(ends)
    assert held.seconds < at_this_speed(HELD_SECONDS), held


async def test_the_end_of_a_connection_with_a_thousand_requests_that_wait(watched: Watched) -> None:
    async def ends(_attempt: int) -> None:
        client = await WireClient.ready(watched.server.url)
        await client.start("p", ["sleep", "600"], pipeStdin=True)
        await client.start("q", ["sleep", "600"])
        for number in range(1000):
            params: dict[str, object] = {
                "processId": "p",
                "writeId": f"{number}",
                "chunk": "QUJD" * 30_000,
            }
            if number >= 750:
                params = {"processId": "q", "afterSeq": 0, "waitMs": 600_000}
            await client.request("process/write" if number < 750 else "process/read", params)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await client._take()
        client.abort()

    held = await watched.held(ends)
    assert held.seconds < at_this_speed(HELD_SECONDS), held


async def test_as_many_sessions_as_there_may_be(watched: Watched) -> None:
    async def many(_attempt: int) -> None:
        for _ in range(1100):
            client = await WireClient.dial(watched.server.url)
            await client.initialize()
            client.abort()

    held = await watched.held(many)
    assert held.seconds < at_this_speed(HELD_SECONDS), held
