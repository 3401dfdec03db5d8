"""Much output, slow or absent readers, and cuts in the middle of it, with real processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys

import pytest
from exec_client import ClientOptions, ClientState, OutputEvent, OutputLostError, connect
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.liveness import resident_bytes
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024
ROUNDS = int(os.environ.get("CLIENT_ROUNDS", "3"))
"""Of 20 MB each; the release check takes a hundred."""

BOTH_STREAMS = f"""
import random, sys, threading
def pour(stream, seed):
    rng = random.Random(seed)
    for _ in range(10): stream.buffer.write(rng.randbytes({MIB}))
    stream.buffer.flush()
threads = [threading.Thread(target=pour, args=a) for a in ((sys.stdout, 1), (sys.stderr, 2))]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def _digest(seed: int) -> str:
    rng = random.Random(seed)
    digest = hashlib.sha256()
    for _ in range(10):
        digest.update(rng.randbytes(MIB))
    return digest.hexdigest()


async def test_both_streams_arrive_complete_again_and_again(server: ServerProcess) -> None:
    wanted = [_digest(1), _digest(2)]
    async with asyncio.timeout(50 + 3 * ROUNDS), connect(server.url) as client:
        for _ in range(ROUNDS):
            done = await client.run([sys.executable, "-I", "-c", BOTH_STREAMS], check=True)
            found = [hashlib.sha256(part).hexdigest() for part in (done.stdout, done.stderr)]
            assert found == wanted


async def test_who_takes_events_only_gets_all_of_them(server: ServerProcess) -> None:
    options = ClientOptions(max_buffered_bytes=MIB)
    async with asyncio.timeout(20), connect(server.url, options=options) as client:
        process = await client.start(["head", "-c", str(30 * MIB), "/dev/zero"])
        size = 0
        async for event in process.events():
            if isinstance(event, OutputEvent):
                size += len(event.data)
        assert size == 30 * MIB
        with pytest.raises(OutputLostError):
            await process.stdout.read(1)


async def test_a_process_that_nobody_reads_does_not_stop_the_others(server: ServerProcess) -> None:
    options = ClientOptions(max_buffered_bytes=MIB)
    async with asyncio.timeout(20), connect(server.url, options=options) as client:
        endless = await client.start(["yes"])
        changed = 0
        while endless.stdout.buffered < MIB:
            changed = await endless.wait_changed(changed)
        for number in range(20):
            done = await client.run(["echo", str(number)])
            assert done.stdout == b"%d\n" % number
        assert endless.stdout.buffered <= 5 * MIB
        await endless.terminate()
        assert await endless.wait() == 137


@requirement("CLIENT-INV-02")
async def test_a_slow_reader_holds_up_the_process_and_loses_nothing(server: ServerProcess) -> None:
    options = ClientOptions(max_buffered_bytes=MIB)
    size = 150 * MIB
    async with asyncio.timeout(40), connect(server.url, options=options) as client:
        before = resident_bytes([os.getpid()])
        process = await client.start(["head", "-c", str(size), "/dev/zero"])
        assert await process.stdout.read(1) == b"\0"
        async with connect(server.url) as other:
            await other.run(["sleep", "1"])
        assert resident_bytes([os.getpid()]) - before < 40 * MIB
        received = 1
        async for piece in process.stdout:
            received += len(piece)
        assert received == size
        assert await process.wait() == 0


@requirement("CLIENT-INV-01", "CLIENT-INV-16")
async def test_a_process_that_never_stops_writing_is_caught_up_with(server: ServerProcess) -> None:
    async with asyncio.timeout(40), FaultProxy(server.port) as proxy:
        async with connect(proxy.url, options=ClientOptions(retry_delay=0.01)) as client:
            script = "i=0; while :; do echo $i; i=$((i+1)); done"
            process = await client.start(["sh", "-c", script])
            lines = process.stdout.lines()
            changes = client.state_changes()
            for cut in range(1, 6):
                proxy.cut_all()
                while (await anext(changes)).new is not ClientState.CONNECTED:
                    pass
                assert client.state is ClientState.CONNECTED, cut
                async with asyncio.timeout(5):
                    for _ in range(2000):
                        await anext(lines)
            await process.terminate()
            assert process.failure is None
            assert await process.wait() == 137


@requirement("CLIENT-INV-01", "CLIENT-INV-02")
async def test_output_in_two_hundred_thousand_pieces_is_recovered(server: ServerProcess) -> None:
    code = (
        "import os,sys\nsys.stdin.readline()\n"
        "for n in range(200000): os.write(1 + n % 2, b'ox'[n % 2:n % 2 + 1])"
    )
    async with asyncio.timeout(50), FaultProxy(server.port) as proxy:
        async with connect(proxy.url) as client:
            process = await client.start([sys.executable, "-I", "-c", code], stdin=True)
            proxy.refusing = True
            await process.write(b"\n")
            proxy.cut_all()
            async with connect(server.url) as watcher:
                await watcher.run(["sleep", "3"])
            proxy.refusing = False
            out, err = await process.communicate()
            assert (out, err) == (b"o" * 100_000, b"x" * 100_000)
            assert await process.wait() == 0


async def test_what_is_left_behind_does_not_hold_up_the_end_of_a_block(
    server: ServerProcess,
) -> None:
    async with asyncio.timeout(20), connect(server.url) as client:
        async with await client.start(["sh", "-c", "setsid sleep 30 & echo up"]) as process:
            assert await process.stdout.readline() == b"up\n"
            seen = 0
            while process.returncode is None:
                seen = await process.wait_changed(seen)


@requirement("CLIENT-INV-07")
async def test_a_subscriber_that_fell_behind_makes_up_for_it_with_reads(
    server: ServerProcess,
) -> None:
    async with asyncio.timeout(30), connect(server.url) as client:
        process = await client.start(["cat"], stdin=True)
        events = process.events()
        for number in range(400):  # nobody takes an event meanwhile
            await process.write(b"%d\n" % number)
            await process.wait_changed(number)
        with pytest.raises(OutputLostError) as caught:
            await anext(events)
        missed = caught.value
        assert missed.after_seq == 0
        assert missed.oldest_seq is not None
        answer = await process.read(missed.after_seq)
        seen = [OutputEvent(c.seq, c.stream, c.chunk) for c in answer.chunks]
        del seen[missed.oldest_seq - 1 :]
        while len(seen) < 400:
            event = await anext(events)
            assert isinstance(event, OutputEvent)
            seen.append(event)
        assert [event.seq for event in seen] == list(range(1, 401))
        assert b"".join(event.data for event in seen) == b"".join(b"%d\n" % n for n in range(400))
        await process.terminate()
        assert len([event async for event in events]) == 2
