"""``process/catchUp`` on the wire: pages of what was missed, and nothing live before their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_server.output.catch_up_throttle import MAX_BYTES
from exec_server_protocol._scalars import decode_base64
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

LARGEST_PIECE = 256 * 1024


async def _resume(url: str, session_id: str) -> WireClient:
    """Resume as soon as the server has noticed that the connection has gone."""
    async with asyncio.timeout(10):
        while True:
            client = await WireClient.dial(url)
            params = {"clientName": "t", "resumeSessionId": session_id, "catchUp": True}
            request = await client.request("initialize", params)
            if await client.outcome(request) == 0:
                await client.send_raw('{"method":"initialized"}')
                return client
            await client.close()


@asynccontextmanager
async def _missed(url: str, script: str, before: bytes) -> AsyncIterator[WireClient]:
    """Start a process, and come back to it over a new connection."""
    first = await WireClient.ready(url)
    await first.start("p", ["sh", "-c", script], pipeStdin=True)
    await first.output_until(before)
    first.abort()
    client = await _resume(url, first.session_id)
    yield client
    await client.call("process/terminate", {"processId": "p"})
    await client.close()


async def _page(client: WireClient, after: int, max_bytes: int) -> dict[str, Any]:
    params = {"processId": "p", "afterSeq": after, "maxBytes": max_bytes}
    answer: dict[str, Any] = await client.call("process/catchUp", params)
    return answer


async def _written(client: WireClient, size: int) -> dict[str, Any]:
    """Wait until so much was written, by asking for the state alone."""
    async with asyncio.timeout(10):
        while True:
            page = await _page(client, 0, 0)
            assert page["chunks"] == []
            if page["outputBytes"] >= size:
                return page


@requirement("PROC-KEEP-09")
async def test_nothing_comes_live_before_the_last_page_and_everything_after_it(
    server: ServerProcess,
) -> None:
    script = "echo one; read go; echo two; read go; echo three; exit 3"
    async with _missed(server.url, script, b"one\n") as client:
        await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
        state = await _written(client, 8)
        assert (state["live"], state["nextSeq"], state["exitSeq"]) == (False, 1, None)
        page = await _page(client, 0, 1)
        assert [chunk["seq"] for chunk in page["chunks"]] == [1]
        assert (page["live"], page["nextSeq"]) == (False, 2)
        assert not client.notifications
        page = await _page(client, 1, 1000)
        assert decode_base64(page["chunks"][0]["chunk"]) == b"two\n"
        assert (page["live"], page["nextSeq"]) == (True, 3)
        await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "2"})
        output, code, numbers = await client.finish("p")
        assert (output["stdout"], code, numbers) == (b"three\n", 3, [3, 4, 5])
        page = await _page(client, 2, 1000)
        assert (page["exitSeq"], page["exitCode"], page["closed"]) == (4, 3, True)
        assert (page["nextSeq"], page["live"]) == (6, True)


@requirement("PROC-KEEP-09")
async def test_a_process_waits_for_the_pages_of_its_client_and_loses_nothing(
    server: ServerProcess,
) -> None:
    async with _missed(server.url, "echo up; read go; exec yes", b"up\n") as client:
        await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
        await _written(client, MAX_BYTES)
        after, received, pages = 0, 0, 0
        while pages < 40:  # it writes without end, so it is held up whenever a page is due
            page = await _page(client, after, 64 * 1024)
            if page["live"]:
                break
            pages += 1
            numbers = [chunk["seq"] for chunk in page["chunks"]]
            assert numbers == list(range(after + 1, page["nextSeq"]))
            received += sum(len(decode_base64(chunk["chunk"])) for chunk in page["chunks"])
            ahead = page["outputBytes"] - received
            assert ahead <= MAX_BYTES + 2 * LARGEST_PIECE
            after = page["nextSeq"] - 1


@requirement("PROC-KEEP-09")
async def test_other_reads_do_not_claim_what_the_catch_up_has_not_reached(
    server: ServerProcess, tmp_path: Path
) -> None:
    size, done = 4_000_000, tmp_path / "done"
    script = f"echo up; read go; head -c {size} /dev/zero; touch {done}; sleep 60"
    first = await WireClient.ready(server.url)
    await first.start("p", ["sh", "-c", script], pipeStdin=True)
    await first.output_until(b"up\n")
    await first.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
    first.abort()
    async with asyncio.timeout(20):
        other = await WireClient.ready(server.url)
        while not done.exists():
            await other.call("environment/status")
        client = await _resume(server.url, first.session_id)
        params = {"processId": "p", "afterSeq": 0, "maxBytes": 32_000_000}
        everything = await client.call("process/read", params)
        last = everything["chunks"][-1]["seq"]
        again = await client.call("process/read", {**params, "afterSeq": last})
        assert again["chunks"] == []
        after = received = 0
        live = False
        while not live:
            page = await _page(client, after, 10**6)
            received += sum(len(decode_base64(chunk["chunk"])) for chunk in page["chunks"])
            after, live = page["nextSeq"] - 1, page["live"]
        assert received == size + len(b"up\n")
        await client.call("process/terminate", {"processId": "p"})
        await client.close()
        await other.close()
