"""Blocks of files that a worker has opened are read without it, as long as that cannot block."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_server import ServerConfig, serve
from exec_server.config import FileLimits
from exec_testkit.liveness import descendants
from exec_testkit.sandboxes import restricted_read
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

from .speaking import of_b64

pytestmark = [pytest.mark.process, pytest.mark.slow]

CONTENT = bytes(range(256)) * 8192
"""2 MiB."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # so that it can be dropped from memory
        if not hasattr(os, "RWF_NOWAIT"):
            pytest.skip("this system cannot read without waiting")
        try:
            os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError:
            pytest.skip("this file system cannot be read without waiting")
    finally:
        os.close(descriptor)
    return path


def _block(offset: int, length: int = 1 << 20, handle: str = "h") -> dict[str, Any]:
    return {"handleId": handle, "offset": offset, "len": length}


async def _read(client: WireClient, offset: int, length: int = 1 << 20) -> tuple[bytes, bool]:
    answer = await client.call("fs/readBlock", _block(offset, length))
    return of_b64(answer["chunk"]), answer["eof"]


@asynccontextmanager
async def _opened(
    url: str, file: Path, sandbox: dict[str, Any] | None = None
) -> AsyncIterator[WireClient]:
    client = await WireClient.ready(url)
    await client.call("fs/open", {"handleId": "h", "path": file.as_uri(), "sandbox": sandbox})
    yield client
    await client.close()


@contextmanager
def _stopped(pids: set[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.shortcut("blocks")
@pytest.mark.parametrize("confined", [False, True])
async def test_what_is_in_memory_is_read_while_the_worker_stands_still(
    server: ServerProcess, file: Path, request: pytest.FixtureRequest, confined: bool
) -> None:
    if confined:
        request.getfixturevalue("needs_sandbox")
    sandbox = restricted_read(file.parent) if confined else None
    before = descendants(server.pid)
    async with _opened(server.url, file, sandbox) as client:
        workers = descendants(server.pid) - before
        assert workers
        with _stopped(workers):
            for offset, length in ((0, 1 << 20), (1 << 20, 1 << 20), (5, 7), (2**21 - 3, 100)):
                data, eof = await _read(client, offset, length)
                assert data == CONTENT[offset : offset + length]
                assert eof is (len(data) < length)
            assert await _read(client, 2**21) == (b"", True)


async def test_what_is_not_in_memory_is_waited_for_by_the_worker_alone(
    server: ServerProcess, file: Path
) -> None:
    before = descendants(server.pid)
    async with _opened(server.url, file) as client:
        with _stopped(descendants(server.pid) - before):
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(descriptor, [bytearray(1)], 1 << 20, os.RWF_NOWAIT)
                pytest.skip("this file system keeps everything in memory")
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)
            request = await client.request("fs/readBlock", _block(1 << 20))
            assert await client.call("environment/status") == {"status": "ready"}
        answer = await client.answer(request)
        assert of_b64(answer["chunk"]) == CONTENT[1 << 20 :]


async def test_requests_keep_their_order(server: ServerProcess, file: Path) -> None:
    async with _opened(server.url, file) as client:
        await client.call("fs/open", {"handleId": "w", "path": file.as_uri(), "mode": "update"})
        requests = []
        for number in range(50):
            chunk = {"handleId": "w", "offset": 0, "chunk": f"{number:04d}"}
            await client.request("fs/writeBlock", chunk)
            requests.append(await client.request("fs/readBlock", _block(0, 3)))
        for number, request in enumerate(requests):
            assert (await client.answer(request))["chunk"] == f"{number:04d}"


async def test_a_file_is_what_it_is_now(server: ServerProcess, file: Path) -> None:
    async with _opened(server.url, file) as client:
        assert await _read(client, 0, 4) == (CONTENT[:4], False)
        with file.open("r+b") as other:
            other.write(b"new!")
        assert await _read(client, 0, 4) == (b"new!", False)
        os.truncate(file, 2)
        assert await _read(client, 0, 4) == (b"ne", True)
        file.unlink()
        assert await _read(client, 0, 2) == (b"ne", False)


def _descriptors_of(path: Path) -> int:
    folder = "/proc/self/fd"
    found = 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(f"{folder}/{name}") == os.fspath(path)
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


@pytest.mark.shortcut("blocks")
async def test_files_are_held_until_they_are_closed_and_no_more_than_there_may_be(
    file: Path,
) -> None:
    file = Path(os.path.realpath(file))
    config = ServerConfig(files=FileLimits(held_files=2))
    async with serve(config) as server, _opened(server.url, file) as client:
        assert _descriptors_of(file) == 1
        for name in ("a", "b", "c"):
            await client.call("fs/open", {"handleId": name, "path": file.as_uri()})
        assert _descriptors_of(file) == 2
        for name in ("h", "a", "b", "c"):
            answer = await client.call("fs/readBlock", _block(1, 3, name))
            assert of_b64(answer["chunk"]) == CONTENT[1:4]
        await client.call("fs/close", {"handleId": "h"})
        assert _descriptors_of(file) == 1
        await client.call("fs/open", {"handleId": "h", "path": file.as_uri()})
        assert _descriptors_of(file) == 2
        await client.call("fs/open", {"handleId": "w", "path": file.as_uri(), "mode": "update"})
        await client.call("fs/close", {"handleId": "a"})
        assert _descriptors_of(file) == 1
        await client.close()
        other = await WireClient.ready(server.url)
        async with asyncio.timeout(20):
            while _descriptors_of(file):
                await other.call("environment/status")
        await other.close()


async def test_a_file_that_is_closed_before_it_is_open_is_not_held(file: Path) -> None:
    file = Path(os.path.realpath(file))
    async with serve(ServerConfig()) as server:
        client = await WireClient.ready(server.url)
        await client.call("fs/getMetadata", {"path": file.as_uri()})
        requests = []
        for _ in range(50):
            opening = {"handleId": "h", "path": file.as_uri()}
            requests.append(await client.request("fs/open", opening))
            requests.append(await client.request("fs/close", {"handleId": "h"}))
        assert [await client.outcome(request) for request in requests] == [0] * 100
        assert _descriptors_of(file) == 0
        await client.close()


async def test_a_client_that_takes_nothing_is_not_read_for(
    server: ServerProcess, file: Path
) -> None:
    async with _opened(server.url, file) as client:
        client.connection.transport.pause_reading()
        before = server.resident_bytes
        requests = [await client.request("fs/readBlock", _block(0)) for _ in range(400)]
        other = await WireClient.ready(server.url)
        await other.call("fs/getMetadata", {"path": file.as_uri()})
        await other.close()
        assert server.resident_bytes - before < 64 << 20
        client.connection.transport.resume_reading()
        for request in requests:
            assert len((await client.answer(request))["chunk"]) > 1 << 20
