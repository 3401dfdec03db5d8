"""What is told of a process to a client that asked for details, and to no other; merged output."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from exec_server_protocol._scalars import decode_base64
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

CLOSES_STDOUT = "echo out; exec >&-; read line; echo err >&2"
"""Closes one stream, lives until it is told something, and writes to the other."""


async def _until(client: WireClient, method: str) -> list[dict[str, Any]]:
    """Return the notifications up to the first one of a method."""
    found = [await client.notification()]
    while found[-1]["method"] != method:
        found.append(await client.notification())
    return found


async def _go_on(client: WireClient) -> None:
    await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})


async def test_the_end_of_a_stream_is_told_while_the_process_lives(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sh", "-c", CLOSES_STDOUT], pipeStdin=True, details=True)
    *before, ended = await _until(client, "process/streamEnded")
    assert [note["params"]["stream"] for note in before] == ["stdout"]
    assert ended["params"] == {"processId": "p", "stream": "stdout", "lastSeq": 1}
    await _go_on(client)
    after = await _until(client, "process/closed")
    output = [note["params"] for note in after if note["method"] == "process/output"]
    assert [(o["stream"], decode_base64(o["chunk"])) for o in output] == [("stderr", b"err\n")]
    numbers = [n["params"]["seq"] for n in before + after if n["method"] != "process/streamEnded"]
    assert numbers == [1, 2, 3, 4]  # the ends take none of them
    await client.close()


async def test_the_end_of_a_stream_that_was_missed_is_told_with_what_was_missed(
    server: ServerProcess,
) -> None:
    first = await WireClient.ready(server.url)
    script = f"read line; {CLOSES_STDOUT}"
    await first.start("p", ["sh", "-c", script], pipeStdin=True, details=True)
    await _go_on(first)
    first.abort()
    async with asyncio.timeout(20):
        while True:
            client = await WireClient.dial(server.url)
            resume = {"clientName": "t", "resumeSessionId": first.session_id, "catchUp": True}
            if await client.outcome(await client.request("initialize", resume)) == 0:
                break
            await client.close()
        await client.send_raw('{"method":"initialized"}')
        told: dict[str, Any] = {}
        while not told:
            page = {"processId": "p", "afterSeq": 0, "maxBytes": 0}
            told = (await client.call("process/catchUp", page))["streamEnds"]
    assert told == {"stdout": 1}
    assert (await client.call("process/read", {"processId": "p"}))["streamEnds"] == told
    await client.call("process/terminate", {"processId": "p"})
    await client.close()


async def test_an_exit_code_and_a_signal_are_told_apart(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    for script, code, signal in (
        ("exit 137", 137, None),
        ("kill -9 $$", 137, 9),
        ("kill -15 $$", 143, 15),
        ("exit 0", 0, None),
    ):
        await client.start("p", ["sh", "-c", script], details=True)
        exited = (await _until(client, "process/exited"))[-1]["params"]
        assert (exited["exitCode"], exited.get("signal")) == (code, signal)
        await _until(client, "process/closed")
        read = await client.call("process/read", {"processId": "p"})
        assert (read["exitCode"], read.get("signal")) == (code, signal)
        page = {"processId": "p", "afterSeq": 0, "maxBytes": 0}
        assert (await client.call("process/catchUp", page)).get("signal") == signal
        await client.close()
        client = await WireClient.ready(server.url)
    await client.close()


async def test_the_process_id_of_the_system_is_told(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    started = await client.start("p", ["sh", "-c", "echo $$; sleep 60"], details=True)
    assert await client.output_until(b"\n") == b"%d\n" % started["pid"]
    os.kill(started["pid"], 0)
    await client.call("process/terminate", {"processId": "p"})
    await client.close()


@pytest.mark.parametrize("members", [{}, {"details": False}, {"details": None}])
async def test_who_does_not_ask_is_told_what_the_reference_tells(
    server: ServerProcess, members: dict[str, Any]
) -> None:
    client = await WireClient.ready(server.url)
    script = f"{CLOSES_STDOUT}; kill -9 $$"
    started = await client.start("p", ["sh", "-c", script], pipeStdin=True, **members)
    assert started == {"processId": "p", "sandboxType": "none"}
    await client.output_until(b"out")
    await _go_on(client)
    notes = await _until(client, "process/closed")
    assert [note["method"] for note in notes] == [
        "process/output",
        "process/exited",
        "process/closed",
    ]
    assert set(notes[1]["params"]) == {"processId", "seq", "exitCode", "sandboxDenied"}
    read = await client.call("process/read", {"processId": "p"})
    page = await client.call("process/catchUp", {"processId": "p", "afterSeq": 0, "maxBytes": 0})
    for answer in (read, page):
        assert not {"signal", "streamEnds"} & set(answer)
    await client.close()


async def test_merged_output_comes_in_the_order_in_which_it_was_written(
    server: ServerProcess,
) -> None:
    client = await WireClient.ready(server.url)
    script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3"
    await client.start("p", ["sh", "-c", script], mergeStderr=True)
    output, code, _ = await client.finish("p")
    assert output["stdout"] == b"".join(b"out %d\nerr %d\n" % (i, i) for i in range(500))
    assert (output["stderr"], code) == (b"", 3)
    await client.close()
