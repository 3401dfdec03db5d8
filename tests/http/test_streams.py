"""Streamed bodies: order, ends, ids, back-pressure, and what happens when somebody goes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from exec_testkit.http_wire import deltas, fetch, params
from exec_testkit.origin import Exchange, Origin, chunked, reply
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]


def stream(url: str, request_id: str, **members: Any) -> dict[str, Any]:
    return params(url, requestId=request_id, streamResponse=True, **members)


async def _four_pieces(exchange: Exchange) -> None:
    await exchange.send(chunked("X-A: b"))
    for number in range(4):
        await exchange.send_chunk(b"piece %d " % number)
    await exchange.send_chunk(b"")


@requirement("HTTP-STREAM-01")
async def test_the_result_comes_before_the_body_and_the_body_in_sequence(
    server: ServerProcess,
) -> None:
    async with Origin({"/": _four_pieces}) as origin:
        client = await WireClient.ready(server.url)
        request = await client.request("http/request", stream(origin.url(), "s"))
        first = str(await client.connection.recv())
        assert f'"id":{request},' in first
        assert '"bodyBase64":""' in first
        assert await deltas(client, "s") == (b"piece 0 piece 1 piece 2 piece 3 ", None)
        await client.close()


async def test_an_empty_body_is_one_frame(server: ServerProcess) -> None:
    async with Origin(
        {"/": reply(), "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}
    ) as origin:
        client = await WireClient.ready(server.url)
        for path, method in (("/", "GET"), ("/head", "HEAD")):
            await client.call("http/request", stream(origin.url(path), "s", method=method))
            note = await client.notification()
            assert note["params"] == {
                "requestId": "s",
                "seq": 1,
                "deltaBase64": "",
                "done": True,
                "error": None,
            }
        await client.close()


async def test_pieces_come_as_they_arrive(server: ServerProcess) -> None:
    proceed = asyncio.Event()

    async def in_two_steps(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await exchange.send_chunk(b"now")
        await proceed.wait()
        await exchange.send_chunk(b"later")
        await exchange.send_chunk(b"")

    async with Origin({"/": in_two_steps}) as origin:
        client = await WireClient.ready(server.url)
        await client.call("http/request", stream(origin.url(), "s"))
        note = await client.notification()
        assert note["params"]["deltaBase64"] == "bm93"
        proceed.set()
        assert (await client.notification())["params"]["seq"] == 2
        assert (await client.notification())["params"]["done"]
        await client.close()


@requirement("HTTP-STREAM-02")
async def test_the_id_of_an_active_stream_is_refused_and_free_after_its_end(
    server: ServerProcess,
) -> None:
    proceed = asyncio.Event()

    async def until_told(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await proceed.wait()
        await exchange.send_chunk(b"")

    async with Origin({"/": until_told, "/ok": reply(b"ok")}) as origin:
        client = await WireClient.ready(server.url)
        other = await WireClient.ready(server.url)
        await client.call("http/request", stream(origin.url(), "s"))
        assert await client.refused("http/request", stream(origin.url("/ok"), "s")) == -32602
        assert (await fetch(client, origin.url("/ok"), requestId="s")).body == b"ok"
        await other.call("http/request", stream(origin.url("/ok"), "s"))
        assert await deltas(other, "s") == (b"ok", None)
        proceed.set()
        assert await deltas(client, "s") == (b"", None)
        await client.call("http/request", stream(origin.url("/ok"), "s"))
        assert await deltas(client, "s") == (b"ok", None)
        failed = await client.refused("http/request", stream("http://127.0.0.1:1/", "s"))
        assert failed == -32603
        await client.call("http/request", stream(origin.url("/ok"), "s"))
        assert await deltas(client, "s") == (b"ok", None)
        await client.close()
        await other.close()


@requirement("HTTP-STREAM-03")
async def test_an_origin_that_cuts_in_the_body_is_one_last_frame_with_an_error(
    server: ServerProcess,
) -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    async def reset(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await exchange.send_chunk(b"abc")
        await proceed.wait()
        exchange.cut()

    async def bad_chunk(exchange: Exchange) -> None:
        await exchange.send(chunked() + b"3\r\nabc\r\nnot a size\r\n")

    async with Origin({"/short": short, "/reset": reset, "/chunk": bad_chunk}) as origin:
        client = await WireClient.ready(server.url)
        for path in ("/short", "/reset", "/chunk"):
            proceed = asyncio.Event()
            await client.call("http/request", stream(origin.url(path), path))
            first = await client.notification()
            assert first["params"]["deltaBase64"] == "YWJj"
            proceed.set()
            last = (await client.notification())["params"]
            assert (last["seq"], last["done"], last["deltaBase64"]) == (2, True, "")
            assert last["error"]
        assert await client.call("environment/status") == {"status": "ready"}
        assert not client.notifications
        await client.close()


async def test_a_cancelled_request_ends_and_its_origin_sees_it(server: ServerProcess) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await exchange.send_chunk(b"x")
        await exchange.wait_gone()

    async with Origin({"/endless": endless, "/silent": Exchange.wait_gone}) as origin:
        client = await WireClient.ready(server.url)
        assert client.info["capabilities"]["httpRequestCancel"] is True
        await client.call("http/request", stream(origin.url("/endless"), "s"))
        pending = await client.request("http/request", params(origin.url("/silent"), requestId="b"))
        await origin.wait_seen(2)
        for request_id in ("s", "b", "unknown"):
            assert await client.call("http/request/cancel", {"requestId": request_id}) == {}
        assert await deltas(client, "s") == (b"x", "it was cancelled")
        with pytest.raises(WireError) as caught:
            await client.answer(pending)
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "cancelled"})
        for seen in origin.seen:
            await seen.wait_gone()
        await client.close()


@requirement("HTTP-LIFE-01")
async def test_a_lost_connection_ends_its_requests_and_a_resumed_session_has_none(
    server: ServerProcess,
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await exchange.send_chunk(b"x")
        await exchange.wait_gone()

    async with Origin({"/": endless, "/silent": Exchange.wait_gone, "/ok": reply(b"ok")}) as origin:
        client = await WireClient.ready(server.url)
        await client.call("http/request", stream(origin.url(), "s"))
        await client.request("http/request", params(origin.url("/silent")))
        await origin.wait_seen(2)
        client.abort()
        for seen in origin.seen:
            await seen.wait_gone()
        resumed = await WireClient.ready(server.url, resume=client.session_id)
        await resumed.call("http/request", stream(origin.url("/ok"), "s"))
        assert await deltas(resumed, "s") == (b"ok", None)
        await resumed.close()


@requirement("HTTP-MEMORY-01")
async def test_a_peer_that_does_not_read_holds_the_origin_up_and_the_memory_stays(
    server: ServerProcess,
) -> None:
    piece = bytes(range(256)) * 4096
    sent = 0

    async def two_hundred_megabytes(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * len(piece)))
        for _ in range(200):
            await exchange.send(piece)
            sent += len(piece)

    async with Origin({"/": two_hundred_megabytes}) as origin:
        client = await WireClient.ready(server.url)
        before = server.resident_bytes
        await client.call("http/request", stream(origin.url(), "s"))
        client.connection.transport.pause_reading()
        still = -1
        while still != sent:  # until the origin gets rid of nothing any more
            still = sent
            await asyncio.sleep(0.5)
        assert sent < 100_000_000
        assert server.resident_bytes - before < 80_000_000
        client.connection.transport.resume_reading()
        digest, peak = hashlib.sha256(), 0
        while True:
            delta = (await client.notification())["params"]
            if delta["done"]:
                break
            digest.update(_decoded(delta["deltaBase64"]))
            peak = max(peak, server.resident_bytes - before)
        assert delta["error"] is None
        assert digest.digest() == hashlib.sha256(piece * 200).digest()
        assert peak < 100_000_000
        await client.close()


def _decoded(text: str) -> bytes:
    import pybase64

    return pybase64.b64decode(text, validate=True)


async def test_with_credit_no_more_is_sent_than_was_asked_for(server: ServerProcess) -> None:
    pieces = b"".join(b"1\r\n%d\r\n" % number for number in range(10))
    async with Origin({"/": chunked() + pieces + b"0\r\n\r\n"}) as origin:
        client = await WireClient.ready(server.url)
        assert client.info["capabilities"]["httpStreamCredit"] is True
        await client.call("http/request", stream(origin.url(), "s", streamCredit=2))
        received = b""
        for there, more in ((2, 1), (1, 3), (3, 2**64 - 1)):
            for _ in range(there):
                received += _decoded((await client.notification())["params"]["deltaBase64"])
            assert await client.call("environment/status") == {"status": "ready"}
            assert not client.notifications
            credit = {"requestId": "s", "pieces": more}
            assert await client.call("http/request/credit", credit) == {}
        rest = b""
        for _ in range(5):
            delta = (await client.notification())["params"]
            rest += _decoded(delta["deltaBase64"])
        assert (received + rest, delta["seq"], delta["done"]) == (b"0123456789", 11, True)
        ended = {"requestId": "s", "pieces": 1}
        assert await client.call("http/request/credit", ended) == {}
        await client.close()


async def test_many_streams_run_beside_each_other(server: ServerProcess) -> None:
    proceed = asyncio.Event()

    async def together(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await proceed.wait()
        await exchange.send_chunk(exchange.path.encode())
        await exchange.send_chunk(b"")

    paths = [f"/{number}" for number in range(100)]
    async with Origin(dict.fromkeys(paths, together)) as origin:
        client = await WireClient.ready(server.url)
        for path in paths:
            await client.call("http/request", stream(origin.url(path), path))
        proceed.set()
        bodies: dict[str, bytes] = dict.fromkeys(paths, b"")
        done = 0
        while done < len(paths):
            delta = (await client.notification())["params"]
            bodies[delta["requestId"]] += _decoded(delta["deltaBase64"])
            done += delta["done"]
        assert bodies == {path: path.encode() for path in paths}
        await client.close()


async def test_a_server_that_stops_ends_its_requests(server: ServerProcess) -> None:
    async with Origin({"/": Exchange.wait_gone}) as origin:
        with ServerProcess() as own:
            client = await WireClient.ready(own.url)
            await client.request("http/request", params(origin.url()))
            exchange = await origin.wait_seen()
            own.signal(15)
            await exchange.wait_gone()
            assert await asyncio.to_thread(own.wait) == 0
            await client.close()
