"""More was missed than a link carries in the time for a recovery, or than the client may hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exec_client import Client, ClientOptions, ClientState, Process, connect
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.liveness import resident_bytes
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [
    pytest.mark.alone,
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.extension("it keeps 1 MiB of output"),
]

MB = 1000 * 1000
BASE64 = 4 / 3
QUICK = ClientOptions(retry_delay=0.01, recovery_deadline=2.0, attempt_timeout=1.0)
"""Much shorter than what is to be downloaded takes."""


@asynccontextmanager
async def _missed(
    server: ServerProcess,
    folder: Path,
    sizes: list[int],
    options: ClientOptions,
    rate: float | None = None,
) -> AsyncIterator[tuple[FaultProxy, Client, list[Process]]]:
    """Processes that wrote so many bytes while their client was away. It is back."""
    async with (
        FaultProxy(server.port) as proxy,
        connect(proxy.url, options=options) as client,
        connect(server.url) as other,
    ):
        processes = []
        for number, size in enumerate(sizes):
            script = f"read go; head -c {size} /dev/zero; touch {folder}/{number}; read end; exit 7"
            processes.append(await client.start(["sh", "-c", script], stdin=True))
        quiet = await client.start(["sh", "-c", "read go; echo here"], stdin=True)
        for process in processes:
            await process.write(b"\n")
        changes = client.state_changes()
        proxy.cut_all()
        proxy.refusing = True
        while len(os.listdir(folder)) < len(sizes):
            await other.status()
        proxy.refusing = False
        proxy.bytes_per_second = rate
        proxy.bytes["to-client"] = 0
        while (await anext(changes)).new is not ClientState.CONNECTED:
            pass
        yield proxy, client, [*processes, quiet]


async def _back(client: Client, quiet: Process) -> None:
    """A process that missed nothing, and calls, do not wait for the others."""
    async with asyncio.timeout(3):
        await quiet.write(b"\n")
        assert await quiet.stdout.readline() == b"here\n"
        assert await client.status() == "ready"


@requirement("CLIENT-INV-02", "CLIENT-INV-14", "CLIENT-INV-37")
async def test_what_takes_longer_than_the_deadline_arrives_and_is_not_loaded_twice(
    server: ServerProcess, tmp_path: Path
) -> None:
    sizes = [8 * MB, 2 * MB]
    async with (
        asyncio.timeout(55),
        _missed(server, tmp_path, sizes, QUICK, 3 * MB) as (proxy, client, processes),
    ):
        *busy, quiet = processes
        await _back(client, quiet)
        received = [0, 0]

        async def follow(number: int) -> None:
            while received[number] < sizes[number]:
                received[number] += len(await busy[number].stdout.read(1 << 20))

        async def cut() -> None:
            async with connect(server.url) as other:
                for part in (0.2, 0.4, 0.6, 0.8):  # in the middle of a page, as it happens
                    while proxy.bytes["to-client"] < part * sum(sizes) * BASE64:
                        await other.status()
                    proxy.cut_all()

        await asyncio.gather(follow(0), follow(1), cut())
        assert received == sizes
        assert proxy.connections >= 6
        print(f"{proxy.bytes['to-client'] / (sum(sizes) * BASE64):.2f} of the payload's base64")
        assert proxy.bytes["to-client"] <= 1.4 * sum(sizes) * BASE64
        for process in busy:
            await process.write(b"\n")
            assert await process.wait() == 7


@requirement("CLIENT-INV-37")
async def test_a_client_that_catches_up_stays_within_its_limit_whether_or_not_it_is_read(
    server: ServerProcess, tmp_path: Path
) -> None:
    limit, sizes = 4 * MB, [50 * MB, 50 * MB, 50 * MB]
    options = ClientOptions(max_buffered_bytes=limit)
    async with (
        asyncio.timeout(55),
        _missed(server, tmp_path, sizes, options) as (_, client, processes),
    ):
        *busy, quiet = processes
        before = resident_bytes([os.getpid()])
        await _back(client, quiet)
        changed = 0
        while sum(process.stdout.buffered for process in busy) < limit * 3 // 4:
            changed = await busy[0].wait_changed(changed)
        for _ in range(50):  # nobody reads: calls go through, and nothing more is loaded
            assert await client.status() == "ready"
        buffered = [process.stdout.buffered for process in busy]
        assert sum(buffered) <= limit + MB
        assert min(buffered) >= max(buffered) // 4
        highest = 0
        for process, size in zip(busy, sizes, strict=True):
            received = 0
            while received < size:
                received += len(await process.stdout.read(1 << 16))
                if received % 64 == 0:
                    highest = max(highest, resident_bytes([os.getpid()]))
            assert received == size
        print(f"the client grew by {(highest - before) / MB:.0f} MB")
        assert highest - before < 24 * MB


@requirement("PROC-KEEP-10")
async def test_what_a_client_has_not_got_outlives_the_time_for_which_others_are_kept(
    tmp_path: Path,
) -> None:
    with ServerProcess("--session-ttl-seconds", "1") as server:
        async with (
            asyncio.timeout(55),
            _missed(server, tmp_path, [8 * MB], QUICK, 2 * MB) as (proxy, _, (process, _quiet)),
        ):
            await process.write(b"\n")
            received = 0
            while piece := await process.stdout.read(1 << 20):
                received += len(piece)
                if received > 4 * MB and proxy.connections < 3:
                    proxy.cut_all()
            assert received == 8 * MB
            assert await process.wait() == 7
