"""The client against a real server and real origins: httpx, without async, large bodies."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from exec_client import ConnectionBrokenError, Environment, HttpBodyError, connect
from exec_client.sync import Environment as SyncEnvironment
from exec_client.sync import connect as connect_sync
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy, Kind
from exec_testkit.origin import Exchange, Origin, Reply, chunked, reply
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

PIECE = bytes(range(256)) * 4096
PIECES = 200


async def _two_hundred_megabytes(exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE))
    await exchange.send(head)
    for _ in range(PIECES):
        await exchange.send(PIECE)


async def _endless(exchange: Exchange) -> None:
    await exchange.send(chunked())
    while not exchange.gone.is_set():
        await exchange.send_chunk(b"x" * 10_000)


async def _then_silence(exchange: Exchange) -> None:
    await exchange.send(chunked())
    await exchange.send_chunk(b"x")
    await exchange.wait_gone()


@requirement("HTTP-LARGE-01")
async def test_two_hundred_megabytes_pass_with_bounded_memory_on_both_sides(
    server: ServerProcess,
) -> None:
    async with Origin({"/": _two_hundred_megabytes}) as origin, connect(server.url) as client:
        here, there = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, server.resident_bytes
        digest, peak, size = hashlib.sha256(), 0, 0
        expected = hashlib.sha256()
        for _ in range(PIECES):
            expected.update(PIECE)
        async with client.http.stream("GET", origin.url()) as response:
            async for piece in response:
                digest.update(piece)
                size += len(piece)
                if size % (10 * len(PIECE)) < len(piece):
                    peak = max(peak, server.resident_bytes)
                    # A reader that is slow, and uses the same connection for something else.
                    assert await client.status() == "ready"
        assert digest.digest() == expected.digest()
        assert peak - there < 60_000_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - here < 60_000


async def test_a_body_that_nobody_reads_holds_up_its_origin_and_nobody_else(
    server: ServerProcess,
) -> None:
    async with Origin({"/endless": _endless, "/": reply(b"ok")}) as origin:
        async with connect(server.url) as client:
            async with client.http.stream("GET", origin.url("/endless")) as response:
                async with asyncio.timeout(20):
                    for _ in range(200):
                        assert (await client.http.request("GET", origin.url())).body == b"ok"
                bodies = (await client.http.session()).bodies
                waiting = [body.waiting for body in bodies._open.values()]
                assert waiting == [64]
                assert await response.next_piece()
            await origin.seen[0].wait_gone()


async def test_leaving_a_stream_ends_it_at_its_origin(server: ServerProcess) -> None:
    async with Origin({"/": _endless, "/silent": Exchange.wait_gone}) as origin:
        async with connect(server.url) as client:
            async with client.http.stream("GET", origin.url()) as response:
                assert await response.next_piece()
            await origin.seen[0].wait_gone()
            silent = asyncio.ensure_future(client.http.request("GET", origin.url("/silent")))
            exchange = await origin.wait_seen(2)
            silent.cancel()
            await exchange.wait_gone()


@requirement("HTTP-LARGE-02")
async def test_an_origin_that_cuts_in_the_body_is_exactly_one_error(server: ServerProcess) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    async with Origin({"/": cut}) as origin, connect(server.url) as client:
        errors: list[Exception] = []
        async with client.http.stream("GET", origin.url()) as response:
            received = []
            try:
                async for piece in response:
                    received.append(piece)  # noqa: PERF401 - what came before the error
            except HttpBodyError as error:
                errors.append(error)
        assert (received, len(errors)) == ([b"abc"], 1)
        async with httpx.AsyncClient(transport=client.http.transport()) as web:
            with pytest.raises(httpx.RemoteProtocolError):
                await web.get(origin.url())


@requirement("CLIENT-INV-30")
async def test_a_lost_connection_ends_streams_and_new_ones_work(server: ServerProcess) -> None:
    async with Origin({"/": _endless, "/ok": reply(b"ok")}) as origin:
        async with FaultProxy(server.port) as proxy, connect(proxy.url) as client:
            async with client.http.stream("GET", origin.url()) as response:
                await response.next_piece()
                proxy.cut_all()
                with pytest.raises(ConnectionBrokenError):
                    await response.read()
            await origin.seen[0].wait_gone()
            assert (await client.http.request("GET", origin.url("/ok"))).body == b"ok"


@pytest.mark.parametrize("direction", ["to-client", "to-server"])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.FIN])
async def test_a_cut_anywhere_is_one_error_or_none_and_never_a_short_body(
    server: ServerProcess, direction: Direction, kind: Kind
) -> None:
    """Three bodies and a whole response at once; each connection breaks a little later."""
    body = b"".join(b"piece %d," % number for number in range(60))
    pieces = b"".join(b"9\r\n%-9d\r\n" % number for number in range(60))
    expected = b"".join(b"%-9d" % number for number in range(60))
    replies: dict[str, Reply] = {"/": chunked() + pieces + b"0\r\n\r\n", "/whole": reply(body)}

    async def stream() -> bool:
        received = b""
        try:
            async with client.http.stream("GET", origin.url()) as response:
                async for piece in response:
                    received += piece
        except ConnectionBrokenError:
            assert expected.startswith(received)
            return False
        assert received == expected
        return True

    async def whole() -> bool:
        try:
            return (await client.http.request("GET", origin.url("/whole"))).body == body
        except ConnectionBrokenError:
            return False

    frames = [3, 4, 5, 7, 9, 12, 20, 40, 80, 150]

    def plan(number: int) -> Cut | None:
        return Cut(direction, frames[number], kind) if number < len(frames) else None

    async with asyncio.timeout(50), Origin(replies) as origin:
        async with FaultProxy(server.port, plan) as proxy, connect(proxy.url) as client:
            rounds = 0
            while proxy.connections <= len(frames) and rounds < 300:
                rounds += 1
                await asyncio.gather(stream(), stream(), stream(), whole())
            assert proxy.connections == len(frames) + 1
            results = await asyncio.gather(stream(), stream(), stream(), whole())
            assert all(results)
            assert len((await client.http.session()).bodies) == 0


# ---------------------------------------------------------------------- httpx


async def test_httpx_works_as_ever_above_the_transport(server: ServerProcess) -> None:
    packed = gzip.compress(b'{"a":1}')
    replies = {
        "/json": reply(packed, "Content-Encoding: gzip", "Content-Type: application/json"),
        "/moved": reply(b"", "Location: /json", "Set-Cookie: c=1", status="302 Moved"),
        "/post": reply(b"posted"),
    }
    async with Origin({**replies}) as origin, connect(server.url) as client:
        async with httpx.AsyncClient(
            transport=client.http.transport(), base_url=origin.url(""), follow_redirects=True
        ) as web:
            response = await web.get("/moved", params={"q": "a b"}, auth=("user", "pass"))
            assert response.json() == {"a": 1}
            assert [one.status_code for one in response.history] == [302]
            posted = await web.post(
                "/post", content=_parts(), headers=[(b"X", "caf\u00e9".encode())]
            )
            assert posted.text == "posted"
            await web.post("/post", json={"b": [1]})
    first, second, third, fourth = origin.seen
    assert first.path == "/moved?q=a%20b" or first.path == "/moved?q=a+b"
    assert first.header("authorization") == b"Basic dXNlcjpwYXNz"
    assert first.header("accept-encoding") is not None
    assert second.header("cookie") == b"c=1"
    assert (third.body, third.header("transfer-encoding")) == (b"part 0 part 1 ", None)
    assert third.header("x") == "caf\u00e9".encode()
    assert fourth.body == b'{"b":[1]}'
    assert fourth.header("content-type") == b"application/json"


async def _parts() -> AsyncIterator[bytes]:
    for number in range(2):
        yield b"part %d " % number


async def test_httpx_gets_the_errors_that_it_knows(server: ServerProcess) -> None:
    async with Origin(
        {"/silent": Exchange.wait_gone, "/late": _then_silence, "/bad": b"no\r\n\r\n"}
    ) as o:
        async with connect(server.url) as client:
            transport = client.http.transport(max_request_bytes=10)
            short, long = httpx.Timeout(30.0, read=1.5, connect=0.0), httpx.Timeout(30.0)
            async with httpx.AsyncClient(transport=transport) as web:
                for url, timeout, kind in (
                    (o.url("/silent"), short, httpx.ReadTimeout),
                    (o.url("/late"), short, httpx.ReadTimeout),
                    (o.url("/bad"), long, httpx.RemoteProtocolError),
                    ("http://127.0.0.1:1/", long, httpx.ConnectError),
                ):
                    with pytest.raises(kind) as caught:
                        await web.get(url, timeout=timeout)
                    assert caught.value.request.url == url
                for count in (1, 2):
                    await (await o.wait_seen(count)).wait_gone()
                with pytest.raises(httpx.LocalProtocolError, match="larger than 10 bytes"):
                    await web.post(o.url("/silent"), content=b"x" * 11)
                with pytest.raises(httpx.LocalProtocolError):
                    await web.get(o.url("/silent"), headers=[(b"X", b"\xff")])


async def test_an_environment_connects_for_its_first_request(server: ServerProcess) -> None:
    async with Origin({"/": reply(b"ok")}) as origin:
        async with Environment.remote(server.url) as environment:
            http = environment.http
            assert not environment.is_connected
            assert (await http.request("GET", origin.url())).body == b"ok"
            async with http.stream("GET", origin.url()) as response:
                assert await response.read() == b"ok"


# ---------------------------------------------------------------------- without async


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin on a loop and thread of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    made: list[Origin] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        replies: dict[str, Reply] = {
            "/": reply(b"ok", "A: b"),
            "/endless": _endless,
            "/silent": _then_silence,
        }
        async with Origin(replies) as origin:
            made.append(origin)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield made[0]
    loops[0].call_soon_threadsafe(stop.set)
    thread.join()


def test_an_environment_without_async_has_it_too(server: ServerProcess, origin: Origin) -> None:
    with SyncEnvironment.remote(server.url) as environment:
        assert environment.http.request("GET", origin.url()).body == b"ok"


def test_without_httpx_the_error_says_how_to_get_it() -> None:
    code = """
import sys
sys.modules["httpx"] = None
from exec_client.http import Http
try:
    Http(None).transport()
except ModuleNotFoundError as error:
    sys.exit("exec-client[httpx]" not in str(error))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_without_async(server: ServerProcess, origin: Origin) -> None:
    with connect_sync(server.url) as client:
        response = client.http.request("POST", origin.url(), body="text", headers={"A": "b"})
        assert (response.status, response.body, response.header("a")) == (200, b"ok", "b")
        with client.http.stream("GET", origin.url("/endless")) as stream:
            assert stream.status == 200
            assert b"x" in next(iter(stream))
        with client.http.stream("GET", origin.url()) as stream:
            assert stream.read() == b"ok"
        with httpx.Client(transport=client.http.transport()) as web:
            assert web.post(origin.url(), json=[1]).text == "ok"
            with web.stream("GET", origin.url("/endless")) as body:
                assert next(body.iter_bytes())
            with pytest.raises(httpx.ConnectError):
                web.get("http://127.0.0.1:1/")
        with client.http.stream("GET", origin.url("/silent")) as stream:
            assert stream.next_piece() == b"x"
            with pytest.raises(TimeoutError):
                stream.next_piece(timeout=0.01)
