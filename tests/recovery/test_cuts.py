"""Long outages, many processes, many clients: what a cut link must not cost."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    ConnectionBrokenError,
    Process,
    connect,
)
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

OUTAGE_SECONDS = 20.0
MIB = 1024 * 1024

POUR = """
import random, sys
sys.stdin.readline()
rng = random.Random(1)
for _ in range(50):
    sys.stdout.buffer.write(rng.randbytes(1 << 20))
"""


def _digest_of_fifty_mebibytes() -> bytes:
    rng = random.Random(1)
    digest = hashlib.sha256()
    for _ in range(50):
        digest.update(rng.randbytes(1 << 20))
    return digest.digest()


@pytest.mark.extension("it keeps 1 MiB of output")
@pytest.mark.timeout(180)
async def test_fifty_mebibytes_written_in_twenty_seconds_of_refusal_arrive_complete(
    server: ServerProcess,
) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(120):
        async with connect(proxy.url) as client, connect(server.url) as watcher:
            process = await client.start([sys.executable, "-I", "-c", POUR], stdin=True)
            changes = client.state_changes()
            highest = before = server.resident_bytes
            await process.write(b"\n")
            proxy.stop_listening()
            proxy.cut_all()
            until = asyncio.get_running_loop().time() + OUTAGE_SECONDS
            while asyncio.get_running_loop().time() < until:
                await watcher.run(["sleep", "0.1"])
                highest = max(highest, server.resident_bytes)
            assert client.state is ClientState.RECOVERING
            print(f"the server grew by {(highest - before) / MIB:.1f} MiB meanwhile")
            assert highest - before < 16 * MIB
            await proxy.listen()
            out = await process.stdout.read()
            assert hashlib.sha256(out).digest() == _digest_of_fifty_mebibytes()
            assert await process.wait() == 0
            recovered = [await anext(changes), await anext(changes)][-1]
            assert recovered.new is ClientState.CONNECTED
            assert recovered.recovered_bytes > 40 * MIB


async def test_a_hundred_processes_are_cut_and_resumed_together(server: ServerProcess) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(50):
        async with connect(proxy.url, options=ClientOptions(retry_delay=0.01)) as client:
            script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 9"
            processes = [await client.start(["sh", "-c", script]) for _ in range(100)]
            for _ in range(3):
                proxy.cut_all()
                assert await client.status() == "ready"
            wanted = b"".join(b"%d\n" % i for i in range(1, 21))
            results = await asyncio.gather(*(p.communicate() for p in processes))
            assert [out for out, _ in results] == [wanted] * 100
            assert [await p.wait() for p in processes] == [9] * 100


@pytest.mark.extension("it cannot end a process's stdin")
@requirement("CLIENT-INV-18")
async def test_replayed_writes_reach_the_process_once(server: ServerProcess) -> None:
    rng = random.Random(5)
    options = ClientOptions(retry_delay=0.001, replay_writes=True)

    def plan(number: int) -> Cut | None:
        direction: Direction = "to-server" if number % 2 else "to-client"
        return Cut(direction, 3 + rng.randrange(6)) if number < 25 else None

    async with FaultProxy(server.port, plan) as proxy, asyncio.timeout(50):
        async with connect(proxy.url, options=options) as client:
            process = await _start(client, ["cat"], stdin=True)
            wanted = b""
            for number in range(200):
                line = b"line %d\n" % number
                await process.write(line)
                wanted += line
            await process.close_stdin()
            assert await process.stdout.read() == wanted
            assert proxy.connections > 10


async def _start(client: Client, argv: list[str], *, stdin: bool = False) -> Process:
    """Start again when the cut hit the answer: events may come before it."""
    while True:
        try:
            return await client.start(argv, stdin=stdin)
        except ConnectionBrokenError:
            continue


async def test_an_idle_client_is_back_soon_after_the_server_is(server: ServerProcess) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(30):
        async with connect(proxy.url) as client:
            changes = client.state_changes()
            proxy.cut_all()
            seen = []
            async for change in changes:
                seen.append(change)
                if change.new is ClientState.CONNECTED:
                    break
            assert [c.new for c in seen] == [ClientState.RECOVERING, ClientState.CONNECTED]
            assert await client.status() == "ready"


async def test_two_hundred_clients_resume_after_the_link_was_cut(server: ServerProcess) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(50):
        clients = [await connect(proxy.url) for _ in range(200)]
        sessions = [client.session_id for client in clients]
        proxy.cut_all()
        assert await asyncio.gather(*(c.status() for c in clients)) == ["ready"] * 200
        assert [client.session_id for client in clients] == sessions
        await asyncio.gather(*(client.aclose() for client in clients))
