"""Where output goes while nobody is connected: budgets, a disk that is full, and the end of it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    OutputLostError,
    connect,
)
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from exec_testkit.small_disk import small_disk_command

pytestmark = [pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024
OPTIONS = ClientOptions(retry_delay=0.01)


def _spooled(pid: int, directory: str) -> list[str]:
    """The nameless files in a directory that a process has open."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith(directory):
            found.append(target)
    return found


async def _until(server: ServerProcess, met: Callable[[], bool]) -> None:
    """Wait for something that cannot be waited for; a command of the server's sets the pace."""
    async with asyncio.timeout(20), connect(server.url) as other:
        while not met():
            await other.run(["sleep", "0.02"])


@asynccontextmanager
async def _away(proxy: FaultProxy, client: Client) -> AsyncIterator[None]:
    """Nobody is connected inside the block."""
    changes = client.state_changes()
    proxy.stop_listening()
    proxy.cut_all()
    while (await anext(changes)).new is not ClientState.RECOVERING:
        pass
    yield
    await proxy.listen()
    while (await anext(changes)).new is not ClientState.CONNECTED:
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose spool is on a disk of 4 MiB."""
    command = small_disk_command(str(tmp_path), "4m")
    with ServerProcess("--spool-dir", str(tmp_path), command=command) as server:
        yield server


@requirement("PROC-KEEP-05")
async def test_a_full_disk_kills_nothing_and_the_newest_output_is_still_there(
    small_disk: ServerProcess,
) -> None:
    server = small_disk
    async with asyncio.timeout(40), FaultProxy(server.port) as proxy:
        async with connect(proxy.url, options=OPTIONS) as client:
            script = "read go; yes | head -c 30000000; echo end; read more; exit 7"
            process = await client.start(["sh", "-c", script], stdin=True)
            small = await client.start(["sh", "-c", "read go; seq 100000"], stdin=True)
            await process.write(b"\n")
            await small.write(b"\n")
            async with _away(proxy, client):
                async with connect(server.url) as other:
                    await other.run(["sleep", "1"])
            with pytest.raises(OutputLostError, match="no longer retained"):
                await process.wait()
            out, _ = await small.communicate()
            assert out.splitlines()[-1] == b"100000"
            assert await client.status() == "ready"
    assert server.log().count("no more output of detached sessions fits on disk") == 1
    assert "No space left on device" in server.log()


@requirement("PROC-KEEP-05")
async def test_output_within_what_memory_keeps_survives_a_disk_that_takes_nothing() -> None:
    with ServerProcess() as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        async with asyncio.timeout(20), FaultProxy(server.port) as proxy:
            async with connect(proxy.url, options=OPTIONS) as client:
                script = "read go; head -c 1000000 /dev/zero; exit 7"
                process = await client.start(["sh", "-c", script], stdin=True)
                await process.write(b"\n")
                async with _away(proxy, client):
                    async with connect(server.url) as other:
                        await other.run(["sleep", "0.5"])
                out, _ = await process.communicate()
                assert out == bytes(1_000_000)
                assert await process.wait() == 7


@requirement("PROC-KEEP-06")
async def test_back_pressure_holds_the_process_up_and_loses_nothing(tmp_path: Path) -> None:
    arguments = ["--retain-output-bytes", "2MiB", "--spool-dir", str(tmp_path)]
    with ServerProcess(*arguments) as server:
        async with asyncio.timeout(40), FaultProxy(server.port) as proxy:
            async with connect(proxy.url, options=OPTIONS) as client:
                done = tmp_path / "done"
                script = f"read go; head -c 30000000 /dev/zero; touch {done}; exit 7"
                argv = ["sh", "-c", script]
                waiting = await client.start(argv, stdin=True, output_policy="back-pressure")
                await waiting.write(b"\n")
                async with _away(proxy, client):
                    async with connect(server.url) as other:
                        await other.run(["sleep", "1"])
                    assert not done.exists()
                out, _ = await waiting.communicate()
                assert out == bytes(30_000_000)
                assert await waiting.wait() == 7
                assert done.exists()


@requirement("PROC-KEEP-07")
async def test_a_client_that_keeps_up_costs_no_file(tmp_path: Path) -> None:
    with ServerProcess("--spool-dir", str(tmp_path)) as server:
        async with asyncio.timeout(40), connect(server.url) as client:
            process = await client.start(["head", "-c", str(100 * MIB), "/dev/zero"])
            size = 0
            async for piece in process.stdout:
                size += len(piece)
                assert _spooled(server.pid, str(tmp_path)) == []
            assert size == 100 * MIB


@requirement("PROC-KEEP-08")
@pytest.mark.parametrize("end", ["expiry", "resume", "SIGTERM", "SIGKILL"])
async def test_nothing_is_left_on_disk_whatever_ends_it(tmp_path: Path, end: str) -> None:
    directory = str(tmp_path)
    arguments = ["--spool-dir", directory, "--session-ttl-seconds", "1.5"]
    with ServerProcess(*arguments) as server:
        async with asyncio.timeout(30), FaultProxy(server.port) as proxy:
            client = await connect(proxy.url, options=OPTIONS)
            script = "read go; head -c 30000000 /dev/zero; sleep 60"
            process = await client.start(["sh", "-c", script], stdin=True)
            await process.write(b"\n")
            proxy.stop_listening()
            proxy.cut_all()
            await _until(server, lambda: len(_spooled(server.pid, directory)) >= 3)
            assert os.listdir(directory) == []
            if end == "resume":
                await proxy.listen()
                assert await client.status() == "ready"
                changed = 0
                while process.stdout.buffered < 30_000_000:
                    changed = await process.wait_changed(changed)
                assert process.stdout.buffered == 30_000_000
            if end in ("expiry", "resume"):
                await _until(server, lambda: not _spooled(server.pid, directory))
            else:
                server.signal(getattr(signal, end))
                server.wait()
            await client.aclose()
    assert os.listdir(directory) == []
