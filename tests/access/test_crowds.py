"""Strangers in any number do not keep out, or disturb, a client who proves itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from exec_server import ServerConfig, serve
from exec_server.config import Limits
from exec_server.transport.inbound_budget import Gate, InboundBudget
from exec_testkit.door import UPGRADE, knock
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from .conftest import Certificates

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024
TOKEN = "cap-7f3a9d2e51b84c60"
CROWD = 5000


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def asks(certificates: Certificates) -> tuple[str, ...]:
    """Options of a server that asks for ``TOKEN``."""
    path = certificates.folder / "token"
    path.write_text(TOKEN)
    return "--ws-auth", "capability-token", "--ws-token-file", str(path)


async def _open(url: str, hello: bytes, source: str = "") -> socket.socket | None:
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    if source:
        sock.bind((source, 0))
    try:
        async with asyncio.timeout(20):
            await loop.sock_connect(sock, ("127.0.0.1", int(url.rpartition(":")[2])))
            if hello:
                await loop.sock_sendall(sock, hello)
    except OSError:
        sock.close()
        return None
    return sock


@asynccontextmanager
async def _crowd(
    url: str, hello: bytes = b"", size: int = CROWD, source: str = ""
) -> AsyncIterator[None]:
    """Keep connections open that say no more than ``hello``."""
    socks: list[socket.socket] = []
    try:
        for start in range(0, size, 500):
            opened = await asyncio.gather(
                *(_open(url, hello, source) for _ in range(min(500, size - start)))
            )
            socks += [sock for sock in opened if sock is not None]
        yield
    finally:
        for sock in socks:
            sock.close()


async def _works(client: WireClient, process_id: str = "p") -> None:
    await client.start(process_id, ["echo", "fine"])
    assert (await client.finish(process_id))[0]["stdout"] == b"fine\n"


UPGRADE_REQUEST = b"\r\n".join((b"GET / HTTP/1.1", b"Host: x", *UPGRADE, b"", b""))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "hello",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", UPGRADE_REQUEST],
    ids=["silent", "half a request", "without a token"],
)
async def test_five_thousand_strangers_keep_nobody_out(asks: tuple[str, ...], hello: bytes) -> None:
    with ServerProcess(*asks) as server:
        inside = await WireClient.ready(server.url, token=TOKEN)
        async with _crowd(server.url, hello):
            async with asyncio.timeout(20):
                newcomer = await WireClient.ready(server.url, token=TOKEN)
                await _works(newcomer)
                await _works(inside)
            assert server.open_files < 700
            assert server.resident_bytes < 200 * MIB
            await newcomer.close()
        await _works(inside, "q")
        await inside.close()


@pytest.mark.timeout(120)
async def test_five_thousand_strangers_before_tls_keep_nobody_out(
    asks: tuple[str, ...], certificates: Certificates
) -> None:
    with ServerProcess(*asks, *certificates.server()) as server:
        tls = certificates.trusting()
        async with _crowd(server.url, b"\x16\x03\x01\x02\x00\x01\x00"):
            async with asyncio.timeout(20):
                client = await WireClient.ready(server.url, token=TOKEN, tls=tls)
                await _works(client)
            assert server.open_files < 700
            await client.close()


@pytest.mark.timeout(120)
async def test_without_authentication_those_who_say_nothing_give_way(
    certificates: Certificates,
) -> None:
    with ServerProcess() as server:
        inside = await WireClient.ready(server.url)
        async with _crowd(server.url, UPGRADE_REQUEST, 2000):
            newcomer = await WireClient.ready(server.url)
            await _works(newcomer)
            await _works(inside)
            await newcomer.close()
        await inside.close()


async def test_a_crowd_from_one_address_pushes_out_nobody_who_comes_from_another(
    asks: tuple[str, ...],
) -> None:
    with ServerProcess(*asks) as server:
        honest = await _open(server.url, b"GET / HTTP/1.1\r\n")
        assert honest is not None
        async with _crowd(server.url, size=1500, source="127.0.0.2"):
            request = b"\r\n".join(
                (b"Host: x", *UPGRADE, b"Authorization: Bearer " + TOKEN.encode())
            )
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(honest, request + b"\r\n\r\n")
            async with asyncio.timeout(20):
                assert (await loop.sock_recv(honest, 100)).startswith(b"HTTP/1.1 101 ")
        honest.close()


async def test_a_scanner_that_comes_and_goes_disturbs_nobody(asks: tuple[str, ...]) -> None:
    with ServerProcess(*asks) as server:
        client = await WireClient.ready(server.url, token=TOKEN)
        before = server.open_files

        async def scan() -> None:
            for number in range(400):
                sock = await _open(server.url, (b"", b"\x16\x03\x01", b"SSH-2.0-x\r\n")[number % 3])
                if sock is not None:
                    sock.close()

        scanners = [asyncio.create_task(scan()) for _ in range(5)]
        slowest = 0.0
        while not all(scanner.done() for scanner in scanners):
            start = time.perf_counter()
            await client.call("environment/status")
            slowest = max(slowest, time.perf_counter() - start)
        await asyncio.gather(*scanners)
        assert slowest < 2.0
        deadline = time.monotonic() + 15
        while server.open_files > before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert "Traceback" not in server.log()
        await client.close()


FLOOD = """
import socket, sys, time
kept = []
print("flooding", flush=True)
while not sys.stdin.closed:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        sock.connect(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        pass
    kept.append(sock)
    if len(kept) == 3000:
        for old in kept[:2000]:
            old.close()
        del kept[:2000]
"""


async def test_a_flood_at_full_speed_lets_clients_in_and_work(asks: tuple[str, ...]) -> None:
    with ServerProcess(*asks) as server:
        inside = await WireClient.ready(server.url, token=TOKEN)
        command = [sys.executable, "-c", FLOOD, str(server.port)]
        flood = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert flood.stdout is not None
            assert await flood.stdout.readline() == b"flooding\n"
            async with asyncio.timeout(40):
                for number in range(3):
                    newcomer = await _admitted(server.url)
                    await _works(newcomer)
                    await _works(inside, f"p{number}")
                    newcomer.abort()
        finally:
            flood.kill()
            await flood.wait()
        await inside.close()


async def _admitted(url: str) -> WireClient:
    """Connect as a client does: again, when the socket was lost in the crowd."""
    while True:
        with contextlib.suppress(OSError, InvalidHandshake):
            return await WireClient.ready(url, token=TOKEN)


async def test_a_slow_loris_is_cut_off(asks: tuple[str, ...]) -> None:
    """One byte now and then does not extend the time for the request."""
    with ServerProcess(*asks) as server:
        sock = await _open(server.url, b"GET / HTTP/1.1\r\nX: ")
        assert sock is not None
        loop = asyncio.get_running_loop()
        start = time.monotonic()
        async with asyncio.timeout(25):
            with contextlib.suppress(OSError):
                while True:
                    await loop.sock_sendall(sock, b"x")
                    await asyncio.sleep(0.2)
        assert time.monotonic() - start > 5
        sock.close()


async def test_a_request_that_never_ends_is_cut_off_early(asks: tuple[str, ...]) -> None:
    with ServerProcess(*asks) as server:
        sock = await _open(server.url, b"GET / HTTP/1.1\r\n")
        assert sock is not None
        loop = asyncio.get_running_loop()
        sent = 0
        async with asyncio.timeout(10):
            with contextlib.suppress(OSError):
                for number in range(100_000):
                    await loop.sock_sendall(sock, b"X-%d: %s\r\n" % (number, b"x" * 4000))
                    sent += 4000
        assert sent < 10 * MIB
        assert server.resident_bytes < 100 * MIB
        sock.close()


# --------------------------------------------------------------------------- limits


async def test_who_does_not_initialize_in_time_is_closed_with_a_reason(
    asks: tuple[str, ...],
) -> None:
    with ServerProcess("--initialize-timeout-seconds", "0.5") as server:
        silent = await WireClient.dial(server.url)
        assert await silent.closed() == (1008, "no initialize within 0.5 s")
        failing = await WireClient.dial(server.url)
        assert await failing.refused("initialize", {"clientName": "x", "resumeSessionId": "y"})
        assert (await failing.closed())[0] == 1008
        client = await WireClient.dial(server.url)
        await client.initialize()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await client.connection.recv()
        await client.close()


async def test_no_more_clients_than_allowed(asks: tuple[str, ...]) -> None:
    with ServerProcess(*asks, "--max-connections", "2") as server:
        one = await WireClient.ready(server.url, token=TOKEN)
        two = await WireClient.dial(server.url, token=TOKEN)
        with pytest.raises(InvalidStatus) as caught:
            await WireClient.dial(server.url, token=TOKEN)
        assert caught.value.response.status_code == 503
        assert knock(server.url)[0] == 401  # a stranger does not learn how busy it is
        await two.close()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(InvalidStatus):
                    three = await WireClient.ready(server.url, token=TOKEN)
                    break
        await _works(three)
        await three.close()
        await one.close()


async def test_no_more_sessions_and_processes_than_allowed() -> None:
    arguments = ("--max-sessions", "1", "--max-processes-per-session", "2")
    with ServerProcess(*arguments) as server:
        client = await WireClient.ready(server.url)
        other = await WireClient.dial(server.url)
        assert await other.refused("initialize", {"clientName": "x"}) == -32600
        await client.start("a", ["sleep", "60"])
        await client.start("b", ["sleep", "60"])
        params = {
            "processId": "c",
            "argv": ["true"],
            "cwd": "file:///",
            "env": {},
            "tty": False,
        }
        assert await client.refused("process/start", params) == -32600
        await client.close()
        await other.close()


def _large(size: int) -> str:
    return json.dumps({"id": 7, "method": "environment/status", "pad": "x" * size})


async def test_large_messages_at_once_are_taken_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peak = 0
    update = InboundBudget.update

    def watched(budget: InboundBudget, gate: Gate, unfinished: int, waiting: int) -> None:
        nonlocal peak
        update(budget, gate, unfinished, waiting)
        peak = max(peak, budget.total)

    monkeypatch.setattr(InboundBudget, "update", watched)
    limits = Limits(inbound_bytes=8 * MIB)
    async with serve(ServerConfig(limits=limits)) as server, asyncio.timeout(40):
        clients = [await WireClient.ready(server.url) for _ in range(12)]
        text = _large(12 * MIB)
        await asyncio.gather(*(client.send_raw(text) for client in clients))
        for client in clients:
            assert await client.answer(7) == {"status": "ready"}
            await client.close()
    # The limit, the one message that goes on, and what one read brings for each of the others.
    assert 12 * MIB <= peak <= (8 + 12 + 12) * MIB


async def test_a_large_message_that_never_ends_holds_others_up_for_a_while_only() -> None:
    limits = Limits(inbound_bytes=MIB, contended_message_seconds=0.5)
    async with serve(ServerConfig(limits=limits)) as server, asyncio.timeout(40):
        stuck, waiting, small = [await WireClient.ready(server.url) for _ in range(3)]
        stuck.connection.protocol.send_text(b"x" * 4 * MIB, fin=False)
        for data in stuck.connection.protocol.data_to_send():
            stuck.connection.transport.write(data)
        while server._budget.total < 2 * MIB:  # a call lets what has come be read
            await small.call("environment/status")
        await waiting.send_raw(_large(4 * MIB))
        assert await small.call("environment/status") == {"status": "ready"}
        assert await waiting.answer(7) == {"status": "ready"}
        assert await stuck.closed() == (1013, "others wait for the end of a large message")
        await waiting.close()
        await small.close()


# --------------------------------------------------------------------------- descriptors


async def test_the_server_may_open_more_files_than_its_children() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        server = ServerProcess()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server:
        clients = [await WireClient.ready(server.url) for _ in range(600)]
        client = clients[-1]
        await client.start("p", ["sh", "-c", "read go; ulimit -n"], pipeStdin=True)
        await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
        assert (await client.finish("p"))[0]["stdout"] == b"500\n"
        await client.start("t", ["sh", "-c", "read go; ulimit -n"], tty=True)
        await client.call("process/write", {"processId": "t", "chunk": "Cg==", "writeId": "1"})
        assert b"500" in (await client.finish("t"))[0]["pty"]
        for each in clients:
            with contextlib.suppress(ConnectionClosed):
                each.abort()
