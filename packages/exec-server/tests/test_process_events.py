"""What a client is told of real children: every event once, in order, to the close."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from exec_server import ServerConfig, serve
from exec_server.access.authorization import UNNAMED
from exec_server.launching.spawn import SpawnRequest
from exec_server.session.registry import SessionRegistry
from exec_server_protocol._scalars import decode_base64
from exec_testkit.liveness import wait_gone
from exec_testkit.wire import WireClient

pytestmark = pytest.mark.process


@asynccontextmanager
async def _client() -> AsyncIterator[WireClient]:
    async with serve(ServerConfig()) as server:
        client = await WireClient.ready(server.url)
        yield client
        await client.close()


async def _events(client: WireClient) -> list[dict[str, Any]]:
    """Return the notifications up to a close, by short names."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["event"] != "closed":
        note = await client.notification()
        found.append({"event": note["method"].removeprefix("process/"), **note["params"]})
    return found


async def test_events_are_numbered_without_a_hole_and_end_with_the_close() -> None:
    async with _client() as client:
        await client.start("p", ["sh", "-c", "echo out; echo err >&2"])
        events = await _events(client)
    assert [event["event"] for event in events] == ["output", "output", "exited", "closed"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]


class _FullSender:
    """A peer for which everything that can wait has to. Keeps what it is sent."""

    full = True
    sent = arrived = 0

    def __init__(self) -> None:
        self.events: list[str] = []
        self.exited = asyncio.Event()

    def send(self, message: bytes) -> None:
        self.events.append(json.loads(message)["method"].removeprefix("process/"))
        if self.events[-1] == "exited":
            self.exited.set()

    def ask_arrived(self) -> None:
        raise AssertionError

    def when_drained(self, callback: Callable[[], None]) -> None:
        """It will never be."""


async def test_the_last_output_comes_before_the_exit() -> None:
    registry, sender = SessionRegistry(ServerConfig()), _FullSender()
    processes = registry.open(sender, UNNAMED).processes
    process = processes.reserve("p", "sh", tty=False)
    argv = ["sh", "-c", "echo last words"]
    request = SpawnRequest(argv, None, b"/", env={}, tty=False, pipe_stdin=False)
    await processes.start(process, request)
    # Nobody reads it while the child lives.
    await asyncio.wait_for(sender.exited.wait(), 20)
    assert sender.events[:2] == ["output", "exited"]
    await registry.close(drain=0)


async def test_input_arrives_once_and_ends() -> None:
    async with _client() as client:
        await client.start("p", ["cat"], pipeStdin=True)
        for write in ("1", "1", "2"):
            params = {"processId": "p", "writeId": write, "chunk": "YQ=="}
            assert (await client.call("process/write", params))["status"] == "accepted"
        await client.call("process/closeStdin", {"processId": "p"})
        *output, exited, _closed = await _events(client)
    assert b"".join(decode_base64(event["chunk"]) for event in output) == b"aa"
    assert exited["exitCode"] == 0


async def test_a_signal_reaches_the_group_and_is_told_as_an_exit_code() -> None:
    async with _client() as client:
        # A shell waits for what it has started in front before it heeds its own end.
        await client.start("p", ["sh", "-c", "sleep 60 & echo $!; wait; exec sleep 60"])
        first = await client.notification()
        grandchild = int(decode_base64(first["params"]["chunk"]))
        await client.call("process/signal", {"processId": "p", "signal": "terminate"})
        assert wait_gone(grandchild)
        *_, exited, closed = await _events(client)
    assert exited["exitCode"] == 128 + signal.SIGTERM
    assert closed["event"] == "closed"


async def test_pages_of_output_follow_each_other() -> None:
    async with _client() as client:
        await client.start("p", ["cat"], pipeStdin=True)
        for number in range(5):  # each in a chunk of its own, since it is waited for
            write = {"processId": "p", "writeId": f"{number}", "chunk": "YQ=="}
            await client.call("process/write", write)
            await client.notification()
        await client.call("process/closeStdin", {"processId": "p"})
        await _events(client)
        read, after = b"", 0
        while True:
            params = {"processId": "p", "afterSeq": after, "maxBytes": 1}
            page = await client.call("process/read", params)
            if not page["chunks"]:
                break
            read += b"".join(decode_base64(chunk["chunk"]) for chunk in page["chunks"])
            assert page["nextSeq"] == page["chunks"][-1]["seq"] + 1
            after = page["nextSeq"] - 1
        everything = {"processId": "p", "afterSeq": 0, "maxBytes": 100_000}
        caught_up = await client.call("process/catchUp", everything)
    assert read == b"aaaaa"
    assert caught_up["nextSeq"] == 8  # five chunks, the exit and the close


async def test_nothing_can_be_called_before_the_handshake_is_over() -> None:
    async with serve(ServerConfig()) as server:
        client = await WireClient.dial(server.url)
        start = {"processId": "p", "argv": ["true"], "cwd": f"file://{os.getcwd()}", "env": {}}
        assert await client.refused("process/start", {**start, "tty": False}) == -32600
        await client.initialize()
        assert await client.refused("process/start", {**start, "tty": False}) == -32600
        await client.close()


async def test_a_message_beyond_the_limit_ends_its_connection() -> None:
    config = ServerConfig()
    async with serve(config) as server:
        client = await WireClient.ready(server.url)
        await client.send_raw(b" " * (config.limits.frame_bytes + 1))
        assert (await client.closed())[0] == 1009
