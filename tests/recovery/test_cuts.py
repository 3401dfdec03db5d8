"""A link that is cut, again and again: nothing is lost, doubled or misplaced."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    ConnectionBrokenError,
    OutputEvent,
    Process,
    connect,
)
from exec_client.events import ClosedEvent, ExitedEvent
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy, Kind
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

CUTS = int(os.environ.get("RECOVERY_CUTS", "120"))
"""Cuts in the seeded run; the release check sets a thousand."""

WRITER = """
import os, random, sys, time
rng = random.Random(int(sys.argv[1]))
print(os.getpid(), flush=True)
for number in range(int(sys.argv[2])):
    stream = sys.stdout if rng.random() < 0.7 else sys.stderr
    stream.write("%06d " % number + "x" * rng.randrange(200) + "\\n")
    if rng.random() < 0.5:
        stream.flush()
    if rng.random() < 0.2:
        time.sleep(rng.random() / 100)
sys.exit(number % 100)
"""


def _expected(seed: int, lines: int) -> tuple[bytes, bytes]:
    """What the writer writes after its pid, computed the same way."""
    rng = random.Random(seed)
    out, err = b"", b""
    for number in range(lines):
        to_stdout = rng.random() < 0.7
        line = b"%06d " % number + b"x" * rng.randrange(200) + b"\n"
        if to_stdout:
            out += line
        else:
            err += line
        rng.random()
        if rng.random() < 0.2:
            rng.random()
    return out, err


async def _follow(client: Client, seed: int, lines: int) -> int:
    """Run one writer to its end and check everything about it. Returns its pid."""
    process = await client.start([sys.executable, "-I", "-c", WRITER, str(seed), str(lines)])
    out, err = await process.communicate()
    code = await process.wait()
    pid, _, rest = out.partition(b"\n")
    assert (rest, err) == _expected(seed, lines), f"seed {seed}"
    assert code == (lines - 1) % 100
    return int(pid)


@requirement("CLIENT-INV-01", "CLIENT-INV-02", "CLIENT-INV-03", "CLIENT-INV-16")
async def test_seeded_cuts_lose_double_and_misplace_nothing(server: ServerProcess) -> None:
    seed = int(os.environ.get("RECOVERY_SEED", "28512"))
    print(f"seed {seed}, {CUTS} cuts")
    rng = random.Random(seed)

    def plan(number: int) -> Cut | None:
        if number >= CUTS:
            return None
        direction: Direction = "to-server" if rng.random() < 0.3 else "to-client"
        kind = rng.choice(list(Kind))
        return Cut(direction, rng.randrange(14), kind, seconds=rng.random() / 20)

    options = ClientOptions(retry_delay=0.001, replay_writes=True)
    async with FaultProxy(server.port, plan) as proxy, asyncio.timeout(50):
        client: Client | None = None
        while client is None:
            try:
                client = await connect(proxy.url, options=options)
            except Exception:  # noqa: BLE001 - the first connections are cut as well
                continue
        async with client:
            session = client.session_id
            seeds = iter(range(10**6))
            while proxy.connections < CUTS:
                batch = [next(seeds) for _ in range(8)]
                results = await asyncio.gather(
                    *(_start_until_done(client, s) for s in batch), return_exceptions=True
                )
                assert [r for r in results if isinstance(r, BaseException)] == []
            assert client.session_id == session
            assert client.state in (ClientState.CONNECTED, ClientState.RECOVERING)


async def _start_until_done(client: Client, seed: int) -> int:
    """Start until the answer to a start gets through, then follow the process to its end."""
    while True:
        try:
            return await _follow(client, seed, 60)
        except ConnectionBrokenError:
            continue


@requirement("CLIENT-INV-01", "CLIENT-INV-24")
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("frame", range(0, 24, 3))
async def test_a_cut_at_each_frame_boundary(server: ServerProcess, frame: int, kind: Kind) -> None:
    options = ClientOptions(retry_delay=0.001)
    plan = {0: Cut("to-client", frame + 3, kind)}
    async with FaultProxy(server.port, plan.get) as proxy, asyncio.timeout(20):
        async with connect(proxy.url, options=options) as client:
            process = await _start(
                client, ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; done"]
            )
            seen = [event async for event in process.events()]
            assert [event.seq for event in seen if not hasattr(event, "message")] == list(
                range(1, len(seen) + 1)
            )
            text = b"".join(e.data for e in seen if isinstance(e, OutputEvent))
            assert text == b"1\n2\n3\n4\n5\n6\n7\n8\n"
            assert sum(isinstance(e, ExitedEvent) for e in seen) == 1
            assert isinstance(seen[-1], ClosedEvent)


async def test_fifty_megabytes_written_while_away_arrive_complete(server: ServerProcess) -> None:
    size = 50
    code = (
        "import random,sys;sys.stdin.readline();r=random.Random(1)\n"
        f"for _ in range({size}): sys.stdout.buffer.write(r.randbytes(1<<20))"
    )
    rng = random.Random(1)
    digest = hashlib.sha256()
    for _ in range(size):
        digest.update(rng.randbytes(1 << 20))
    async with FaultProxy(server.port) as proxy, asyncio.timeout(50):
        async with connect(proxy.url) as client:
            process = await client.start([sys.executable, "-I", "-c", code], stdin=True)
            before = server.resident_bytes
            proxy.refusing = True
            await process.write(b"\n")
            proxy.cut_all()
            highest = before
            async with connect(server.url) as watcher:
                for _ in range(20):
                    await watcher.run(["sleep", "0.1"])
                    highest = max(highest, server.resident_bytes)
            assert highest - before < 16 * 1024 * 1024
            proxy.refusing = False
            changes = client.state_changes()
            out = await process.stdout.read()
            assert hashlib.sha256(out).digest() == digest.digest()
            assert await process.wait() == 0
            async for change in changes:
                if change.new is ClientState.CONNECTED:
                    assert change.recovered_bytes > 40_000_000
                    break


async def test_a_hundred_processes_are_cut_and_resumed_together(server: ServerProcess) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(50):
        async with connect(proxy.url, options=ClientOptions(retry_delay=0.01)) as client:
            script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 9"
            processes = [await client.start(["sh", "-c", script]) for _ in range(100)]
            proxy.cut_all()
            wanted = b"".join(b"%d\n" % i for i in range(1, 21))
            results = await asyncio.gather(*(p.communicate() for p in processes))
            assert [out for out, _ in results] == [wanted] * 100
            assert [await p.wait() for p in processes] == [9] * 100


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
