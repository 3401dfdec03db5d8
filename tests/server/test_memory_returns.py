"""Memory after a burst: server and client are small again when they have nothing to do."""

from __future__ import annotations

import asyncio
import platform
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from exec_client import Client, connect
from exec_server_protocol.filesystem import FsWriteFileParams
from exec_server_protocol.path_uri import PathUri
from exec_testkit.server import ServerProcess

pytestmark = [
    pytest.mark.alone,
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep less by themselves"),
]

_CLIENTS = 4
_BYTES = 30_000_000
_SECONDS = 30.0


def _pss(pid: int) -> int:
    """Return the memory of a process in bytes, shared pages by its share of them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def _falls_to(limit: int, pid: int) -> bool:
    end = time.monotonic() + _SECONDS
    while _pss(pid) > limit:
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


async def _burst(client: Client, file: Path) -> None:
    await client.run(["head", "-c", str(_BYTES), "/dev/zero"])
    await client.run(["wc", "-c"], input=bytes(_BYTES))
    await client.fs.write_bytes(str(file), bytes(_BYTES), atomic=True)
    await client.fs.read_bytes(str(file))
    path = PathUri.from_native(str(file))
    whole = FsWriteFileParams(path=path, data_base64="A" * (_BYTES // 3 * 4), atomic=True)
    await client._session.call("fs/writeFile", whole)  # in one message
    for _ in range(20):
        await client.run(["true"])


async def test_an_idle_server_and_its_client_are_small_again_within_half_a_minute(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    load_seconds: int = pytestconfig.getoption("load_seconds")
    with ServerProcess() as server:
        run = [sys.executable, __file__, server.url, str(tmp_path), str(load_seconds)]
        client = await asyncio.create_subprocess_exec(*run, stdout=PIPE, stdin=PIPE)
        assert client.stdout is not None
        try:
            async with asyncio.timeout(50):
                assert await client.stdout.readline() == b"idle\n"
            idle, idle_client = _pss(server.pid), _pss(client.pid)
            assert client.stdin is not None
            client.stdin.write(b"go\n")
            async with asyncio.timeout(50 + load_seconds):
                assert await client.stdout.readline() == b"done\n"
            fell = asyncio.to_thread(_falls_to, 2 * idle, server.pid)
            fell_client = asyncio.to_thread(_falls_to, 2 * idle_client, client.pid)
            assert all(await asyncio.gather(fell, fell_client))
        finally:
            client.kill()
            await client.communicate()


async def _short_client(url: str) -> None:
    async with connect(url) as client:
        await client.run(["head", "-c", "300000", "/dev/zero"])
        generation = client._session._generation
        assert generation is not None
        generation.abort()
        await client.run(["true"])


async def _main(url: str, folder: str, load_seconds: str) -> None:
    """Be the client."""
    clients = [await connect(url) for _ in range(_CLIENTS)]
    await asyncio.gather(*(client.run(["true"]) for client in clients))
    await asyncio.gather(*(client.fs.exists(folder) for client in clients))
    print("idle", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    end = time.monotonic() + int(load_seconds)
    rounds = 0
    while rounds < 2 or time.monotonic() < end:
        await asyncio.gather(
            *(_burst(client, Path(folder, str(number))) for number, client in enumerate(clients)),
            *(_short_client(url) for _ in range(_CLIENTS)),
        )
        rounds += 1
    print("done", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
