"""What a request leaves behind, without the help of the collector.

Objects that refer to each other in a circle stay until the collector runs, with whatever they
hold, and it runs when many objects have been made, not when a few of them are large.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from exec_client import Client, connect
from exec_server import ServerConfig, serve
from exec_server.config import Limits
from exec_testkit.liveness import wait_gone
from exec_testkit.origin import Exchange, Origin, Reply, reply
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

_PACKAGES = ("exec_server", "exec_client", "exec_server_protocol")
_TIMES = 5
_ANSWER_BYTES = 1_000_000
_LARGE = bytes(2 * _ANSWER_BYTES)


@dataclass
class _Place:
    """A client, the server that it is connected to, and what the two can work with."""

    url: str
    client: Client
    origin: Origin
    file: Path


async def _fails(call: Awaitable[object]) -> None:
    with suppress(Exception):
        await call
        raise AssertionError("it did not fail")


async def _cancelled(call: Awaitable[object], begun: Awaitable[object]) -> None:
    task = asyncio.ensure_future(call)
    await begun
    task.cancel()
    await asyncio.wait([task])


async def _run(at: _Place) -> None:
    await at.client.run(["head", "-c", "300000", "/dev/zero"])


async def _write_stdin(at: _Place) -> None:
    await at.client.run(["cat"], input=bytes(300_000))


async def _no_such_program(at: _Place) -> None:
    await _fails(at.client.run(["/no/such/program"]))


async def _terminate(at: _Place) -> None:
    process = await at.client.start(["sleep", "60"], tty=True)
    await process.terminate()
    await process.wait()


async def _time_out(at: _Place) -> None:
    await _fails(at.client.run(["sleep", "60"], timeout=0.05))


async def _cancel_run(at: _Place) -> None:
    async def wait_running(*, wanted: bool) -> None:
        while any(one.state == "running" for one in await at.client.list_processes()) != wanted:
            pass

    await _cancelled(at.client.run(["sleep", "60"]), wait_running(wanted=True))
    await wait_running(wanted=False)


async def _read_file(at: _Place) -> None:
    await at.client.fs.read_bytes(str(at.file))


async def _write_file(at: _Place) -> None:
    await at.client.fs.write_bytes(str(at.file), bytes(300_000), atomic=True)


async def _no_such_file(at: _Place) -> None:
    await _fails(at.client.fs.read_bytes(f"{at.file}-not"))


async def _http(at: _Place) -> None:
    await at.client.http.request("GET", at.origin.url("/small"))


async def _http_too_large(at: _Place) -> None:
    await _fails(at.client.http.request("GET", at.origin.url("/large")))


async def _http_too_large_unannounced(at: _Place) -> None:
    await _fails(at.client.http.request("GET", at.origin.url("/endless")))


async def _http_cancelled(at: _Place) -> None:
    before = len(at.origin.seen)
    call = at.client.http.request("GET", at.origin.url("/silent"))
    await _cancelled(call, at.origin.wait_seen(before + 1))
    await at.origin.seen[before].wait_gone()


async def _http_timed_out(at: _Place) -> None:
    await _fails(at.client.http.request("GET", at.origin.url("/silent"), timeout=0.05))


async def _http_refused(at: _Place) -> None:
    await _fails(at.client.http.request("GET", "http://127.0.0.1:1/"))


async def _http_streamed(at: _Place) -> None:
    async with at.client.http.stream("GET", at.origin.url("/large")) as response:
        await response.read()


async def _http_stream_left(at: _Place) -> None:
    before = len(at.origin.seen)
    async with at.client.http.stream("GET", at.origin.url("/endless")) as response:
        await response.next_piece()
    await at.origin.seen[before].wait_gone()


async def _cut(at: _Place) -> None:
    generation = at.client._session._generation
    assert generation is not None
    generation.abort()
    await at.client.run(["true"])


async def _cut_in_a_message(at: _Place) -> None:
    client = await WireClient.dial(at.url)
    transport = client.connection.transport
    transport.write(b"\x81\xff" + (15_000_000).to_bytes(8) + bytes(4 + 10_000_000))
    while transport.get_write_buffer_size():
        await at.client.run(["true"])
    client.abort()


async def _short_client(at: _Place) -> None:
    await (await WireClient.dial(at.url)).close()


_KINDS = [
    _run,
    _write_stdin,
    _no_such_program,
    _terminate,
    _time_out,
    _cancel_run,
    _read_file,
    _write_file,
    _no_such_file,
    _http,
    _http_too_large,
    _http_too_large_unannounced,
    _http_cancelled,
    _http_timed_out,
    _http_refused,
    _http_streamed,
    _http_stream_left,
    _cut,
    _cut_in_a_message,
    _short_client,
]


async def _endless(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await exchange.send(bytes(65536))


async def _silent(exchange: Exchange) -> None:
    await exchange.wait_gone()


@asynccontextmanager
async def _place(folder: Path) -> AsyncIterator[_Place]:
    file = folder / "file"
    file.write_bytes(bytes(300_000))
    # Tables so small that what one request has left gives way to the next.
    limits = Limits(http_answer_bytes=_ANSWER_BYTES, processes_per_session=1, sessions=1)
    replies: dict[str, Reply] = {
        "/small": reply(bytes(1000)),
        "/large": reply(_LARGE),
        "/endless": _endless,
        "/silent": _silent,
    }
    async with (
        Origin(replies) as origin,
        serve(ServerConfig(limits=limits)) as server,
        connect(server.url) as client,
    ):
        yield _Place(server.url, client, origin, file)


@contextmanager
def _garbage() -> Iterator[list[object]]:
    """Yield a list that is filled, at the end of the block, with what only the collector frees."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.garbage.clear()
        gc.set_debug(0)
        gc.enable()


def _is_ours(one: object) -> bool:
    if type(one) is FrameType:  # isinstance would ask what a dead weak proxy stands for
        return any(f"/{package}/" in one.f_code.co_filename for package in _PACKAGES)
    return type(one).__module__.partition(".")[0] in _PACKAGES


def _bytes_held(garbage: list[object]) -> int:
    held: dict[int, Any] = {id(one): one for one in gc.get_referents(*garbage)}
    return sum(len(one) for one in held.values() if type(one) in (bytes, bytearray, str))


async def _settled(at: _Place) -> None:
    """Let everything end that the last request has left under way: it is answered in turn."""
    await at.client.run(["true"])
    await at.client.run(["true"])


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__.strip("_"))
async def test_a_request_leaves_nothing_to_the_collector(
    kind: Callable[[_Place], Awaitable[None]], tmp_path: Path
) -> None:
    async with _place(tmp_path) as at:
        await kind(at)  # what the first one loads stays
        await _settled(at)
        with _garbage() as found:
            for _ in range(_TIMES):
                await kind(at)
                at.origin.seen.clear()
            await _settled(at)
        assert [one for one in found if _is_ours(one)] == []
        assert _bytes_held(found) < _TIMES * 128 * 1024  # the origin leaves a piece, no body
        found.clear()


async def test_a_session_that_ends_leaves_nothing_to_the_collector() -> None:
    async def session(url: str) -> None:
        client = await WireClient.ready(url)
        await client.start("ended", ["head", "-c", "300000", "/dev/zero"])
        await client.finish("ended")
        await client.start("lives", ["sh", "-c", "echo $$; exec sleep 60"])
        pid = int(await client.output_until(b"\n"))
        client.abort()
        assert await asyncio.to_thread(wait_gone, pid)
        await (await WireClient.ready(url)).close()  # the server has heard of it by now

    async with serve(ServerConfig(session_ttl=0.0)) as server:
        await session(server.url)
        with _garbage() as found:
            for _ in range(_TIMES):
                await session(server.url)
        assert [one for one in found if _is_ours(one)] == []
        assert _bytes_held(found) < _TIMES * 128 * 1024
        found.clear()


_PROGRAM = "import gc, sys; gc.disable(); from exec_server.cli import main; sys.exit(main())"


async def test_a_server_whose_collector_is_switched_off_does_not_grow(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(300_000))
    limits = ["--max-processes-per-session", "8", "--max-sessions", "4"]
    command = [sys.executable, "-c", _PROGRAM, "--listen", "ws://127.0.0.1:0"]
    replies: dict[str, Reply] = {"/small": reply(bytes(1000)), "/silent": _silent}
    replies["/large"] = reply(bytes(52_000_000))
    async with Origin(replies) as origin:
        with ServerProcess(*limits, command=command) as server:
            async with connect(server.url) as client:
                at = _Place(server.url, client, origin, file)

                async def round_of_all() -> None:
                    for kind in _KINDS:
                        if kind not in (_http_too_large_unannounced, _http_stream_left):
                            await kind(at)
                    origin.seen.clear()

                for _ in range(5):
                    await round_of_all()
                before = server.resident_bytes
                for _ in range(10):
                    await round_of_all()
                # Of the 150 sockets asyncio leaves a circle each, a kilobyte or two. A thread that
                # begins meanwhile takes two megabytes for what it allocates.
                assert server.resident_bytes < before + 5_000_000
