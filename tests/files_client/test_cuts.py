"""Cut connections while files are on their way, between real programs over real sockets."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from exec_client import (
    ClientOptions,
    ClientState,
    ConnectionBrokenError,
    FileHandleLostError,
    SessionLostError,
    connect,
)
from exec_client.filesystem import BinaryWriter
from exec_client.session.failed_parts import CLEAN_UP_SECONDS
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy, Kind
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(9 * MIB + 5)
OPTIONS = ClientOptions(retry_delay=0.01)
WAIT_S = 30.0

FRAMES = [2, 3, 4, 6, 9, 13]
"""From the handshake to the last blocks. A block is one frame in either direction."""


def _every_cut(port: int, direction: Direction, frame: int, kind: Kind) -> FaultProxy:
    """Cut the first three connections at the same frame, counted from their beginning."""
    return FaultProxy(port, lambda n: Cut(direction, frame, kind) if n < 3 else None)


CUTS = pytest.mark.parametrize(
    ("direction", "frame", "kind"),
    [
        (direction, frame, kind)
        for direction in ("to-client", "to-server")
        for frame in FRAMES
        for kind in ((Kind.RESET, Kind.FIN) if frame % 2 else (Kind.HALF_OPEN,))
    ],
)


@CUTS
async def test_reading_goes_on(
    server: ServerProcess, folder: Path, direction: Direction, frame: int, kind: Kind
) -> None:
    (folder / "f").write_bytes(DATA)
    async with (
        asyncio.timeout(WAIT_S),
        _every_cut(server.port, direction, frame, kind) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        assert await client.fs.read_bytes(folder / "f") == DATA
        assert (await client.fs.download(folder / "f", folder / "g")).files == 1
        assert (folder / "g").read_bytes() == DATA
        assert proxy.connections > 1


@CUTS
async def test_an_upload_goes_on(
    server: ServerProcess, folder: Path, direction: Direction, frame: int, kind: Kind
) -> None:
    (folder / "f").write_bytes(DATA)
    async with (
        asyncio.timeout(WAIT_S),
        _every_cut(server.port, direction, frame, kind) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        assert (await client.fs.upload(folder / "f", folder / "g")).files == 1
        assert (folder / "g").read_bytes() == DATA
        assert proxy.connections > 1
        assert sorted(os.listdir(folder)) == ["f", "g"]


async def test_a_file_that_is_written_says_that_it_is_lost(
    server: ServerProcess, folder: Path
) -> None:
    async with (
        asyncio.timeout(WAIT_S),
        FaultProxy(server.port) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        async with client.fs.open(folder / "f", "wb") as file:
            await file.write(DATA[: 2 * MIB])
            await file.flush()
            proxy.cut_all()
            with pytest.raises(FileHandleLostError) as caught:
                await _write_until_it_fails(file)
            assert caught.value.maybe_executed
            with pytest.raises(FileHandleLostError):
                await file.write(b"more")
            with pytest.raises(FileHandleLostError):
                await file.close()
        assert file.closed
        assert (folder / "f").read_bytes()[: 2 * MIB] == DATA[: 2 * MIB]
        assert await client.status() == "ready"


async def _write_until_it_fails(file: BinaryWriter) -> None:
    while True:
        await file.write(bytes(MIB))
        await file.flush()


async def test_a_change_whose_answer_is_lost_may_have_been_made(
    server: ServerProcess, folder: Path
) -> None:
    """Frames to the client: the handshake's two, then one a call."""
    async with (
        asyncio.timeout(WAIT_S),
        FaultProxy(server.port, lambda n: Cut("to-client", 2) if n == 0 else None) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        await client.fs.stat(folder)
        with pytest.raises(ConnectionBrokenError) as caught:
            await client.fs.mkdir(folder / "d")
        assert caught.value.maybe_executed
        assert (folder / "d").is_dir()
        with pytest.raises(FileExistsError):
            await client.fs.mkdir(folder / "d")


@pytest.mark.parametrize("again", [False, True])
async def test_the_part_of_an_upload_that_ends_in_a_cut_goes_once_the_session_is_resumed(
    server: ServerProcess, folder: Path, again: bool
) -> None:
    (folder / "f").write_bytes(DATA)
    outage = Cut("to-server", 7, Kind.REFUSED, CLEAN_UP_SECONDS + 1)
    async with (
        asyncio.timeout(WAIT_S),
        FaultProxy(server.port, lambda n: None if n else outage) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        changes = client.state_changes()
        upload = asyncio.ensure_future(client.fs.upload(folder / "f", folder / "g"))
        assert (await anext(changes)).new is ClientState.RECOVERING
        assert len(os.listdir(folder)) == 2
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert len(os.listdir(folder)) == 2
        if again:  # it waits for that, or would lose its part to it
            await client.fs.upload(folder / "f", folder / "g")
            assert (folder / "g").read_bytes() == DATA
        while len(client._session.background):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        assert sorted(os.listdir(folder)) == (["f", "g"] if again else ["f"])


async def test_an_upload_whose_session_is_lost_says_what_it_leaves_behind(
    server: ServerProcess, folder: Path
) -> None:
    (folder / "f").write_bytes(DATA)
    outage = Cut("to-server", 7, Kind.REFUSED, 60)
    options = ClientOptions(retry_delay=0.01, recovery_deadline=0.3)
    async with (
        asyncio.timeout(WAIT_S),
        FaultProxy(server.port, lambda _: outage) as proxy,
        connect(proxy.url, options=options) as client,
    ):
        with pytest.raises(SessionLostError) as caught:
            await client.fs.upload(folder / "f", folder / "g")
        [part] = [name for name in os.listdir(folder) if name != "f"]
        assert str(folder / part) in caught.value.__notes__[0]
