"""A file system that never answers: a real one, mounted with FUSE and served by nobody."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.liveness import descendants, wait_gone
from exec_testkit.sandboxes import path, restricted_read
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

from .speaking import Files, files_of

pytestmark = [pytest.mark.process, pytest.mark.slow]

_MNT_FORCE = 1
_MNT_DETACH = 2


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Path]:
    """A folder whose file system does not answer."""
    folder = tmp_path / "hung"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("no FUSE on this machine")
    target = os.fsencode(folder)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hung", target, b"fuse", 0, options):
        os.close(device)
        pytest.skip("mounting needs more rights than we have")
    try:
        yield folder
    finally:
        libc.umount2(target, _MNT_FORCE | _MNT_DETACH)
        os.close(device)


@pytest.fixture
def own_server(hung: Path) -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


async def test_it_holds_up_the_file_requests_behind_it_and_nothing_else(
    own_server: ServerProcess, hung: Path, tmp_path: Path
) -> None:
    async with files_of(own_server) as other:
        await other.call("getMetadata", path=tmp_path)
        client = await WireClient.ready(own_server.url)
        files = Files(client, None)
        for op in ("getMetadata", "readFile", "readDirectory", "canonicalize"):
            await files.send(op, path=hung / "f")
        before = time.monotonic()
        assert await client.call("environment/status") == {"status": "ready"}
        assert (await other.call("getMetadata", path=tmp_path))["isDirectory"]
        await client.start("p", ["echo", "through"])
        assert await client.output_until(b"through")
        assert time.monotonic() - before < 20
        workers = descendants(own_server.pid)
        client.abort()
        # Its worker is killed; that of the other connection goes on.
        gone = await asyncio.to_thread(_first_gone, workers - {own_server.pid})
        assert gone is not None
        assert (await other.call("getMetadata", path=tmp_path))["isDirectory"]


def _first_gone(pids: set[int]) -> int | None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in pids:
            if wait_gone(pid, 0.1):
                return pid
    return None


@pytest.mark.usefixtures("needs_sandbox")
async def test_a_policy_that_names_it_holds_up_only_its_own_connection(
    own_server: ServerProcess, hung: Path, tmp_path: Path
) -> None:
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "f").write_bytes(b"content")
    async with files_of(own_server, restricted_read(ws)) as other:
        assert await other.read(ws / "f") == b"content"
        stuck = []
        for _ in range(3):
            client = await WireClient.ready(own_server.url)
            files = Files(client, restricted_read(ws, path(hung / "sub", "write")))
            await files.send("getMetadata", path=ws)
            assert await client.call("environment/status") == {"status": "ready"}
            stuck.append(client)
        for _ in range(5):
            assert await other.read(ws / "f") == b"content"
        for client in stuck:
            client.abort()
        assert await other.read(ws / "f") == b"content"


@pytest.mark.usefixtures("needs_sandbox")
async def test_a_client_cannot_take_all_threads_with_it(
    own_server: ServerProcess, hung: Path, tmp_path: Path
) -> None:
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "f").write_bytes(b"content")
    session = None
    for number in range(4):
        client = await WireClient.ready(own_server.url, resume=session)
        session = client.session_id
        files = Files(client, restricted_read(ws, path(hung / "sub", "write")))
        request = await files.send("getMetadata", path=ws)
        await client.call("environment/status")
        if number >= 2:
            assert await client.outcome(request) == -32603
        await client.close()
    async with files_of(own_server, restricted_read(ws)) as other:
        assert await other.read(ws / "f") == b"content"


async def test_a_server_with_stuck_threads_and_workers_stops(hung: Path, tmp_path: Path) -> None:
    with ServerProcess() as server:
        client = await WireClient.ready(server.url)
        files = Files(client, None)
        await files.send("getMetadata", path=hung / "f")
        sandboxed = Files(client, restricted_read(tmp_path, path(hung / "sub", "write")))
        await sandboxed.send("getMetadata", path=tmp_path)
        other = await WireClient.ready(server.url)
        await Files(other, sandboxed.sandbox).send("getMetadata", path=tmp_path)
        await other.call("environment/status")
        server.signal(15)
        assert await asyncio.to_thread(server.wait, 20) == 0
        client.abort()
        other.abort()
