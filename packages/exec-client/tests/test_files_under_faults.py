"""Files of an executor in memory whose links break: what is read and written stays whole.

Virtual time and one seeded generator: a seed that fails fails again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    ConnectError,
    ConnectionBrokenError,
    FileHandleLostError,
    UnsupportedError,
)
from exec_client.connection.websocket import NotSentError
from exec_client.filesystem.handles import BLOCK_BYTES
from exec_client.filesystem.plan import part_name
from exec_client.session.session import Session
from exec_server_protocol import MalformedMessageError
from exec_testkit.fake_executor import FakeConnection, Faults
from exec_testkit.fake_files import FakeFileExecutor
from exec_testkit.requirements import requirement
from exec_testkit.virtual_time import run

SEEDS = int(os.environ.get("CLIENT_FAULT_SEEDS", "40")) // 2
FILE_SEEDS = SEEDS // 2
"""For what takes real time."""
OPTIONS = ClientOptions(retry_delay=0.01, recovery_deadline=1e6, attempt_timeout=0.3)
ALL = {
    "fileWriteStreaming": True,
    "sandboxedFileStreaming": True,
    "fsAtomicWrite": True,
    "fsMove": True,
    "fsOpenUpdate": True,
    "fsFileModes": True,
    "fsCreateAppend": True,
}
URI = "file:///data/file"


async def _connected(
    seed: int,
    faults: Faults,
    capabilities: dict[str, bool] | None = None,
    kind: type[FakeFileExecutor] = FakeFileExecutor,
) -> tuple[FakeFileExecutor, Client]:
    executor = kind(
        seed,
        faults,
        nobody=ConnectError,
        not_sent=NotSentError,
        capabilities=ALL if capabilities is None else capabilities,
    )
    while True:
        session = Session("ws://memory", OPTIONS, dial=executor.dial)
        try:
            async with asyncio.timeout(1):
                await session.connect(resume=False)
            return executor, Client(session)
        except Exception:  # noqa: BLE001 - the first connections break as well
            executor.attached = None


async def _finish(executor: FakeFileExecutor, client: Client) -> None:
    """Wait until nothing is left open or under way on either side: virtual time is bounded."""
    session = client._session
    while (  # noqa: ASYNC110 - there is no event for all of this
        await client.status() != "ready"
        or client.state is not ClientState.CONNECTED
        or session._generation is None
        or session._generation.pending
        or len(session.background)
        or executor.handles
    ):
        await asyncio.sleep(0.05)
    said = [message for connection in executor.connections for message in connection.said]
    closed = Counter(m["params"]["handleId"] for m in said if m["method"] == "fs/close")
    assert max(closed.values(), default=0) <= 1
    await client.aclose()
    await executor.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _real(main: Coroutine[Any, Any, None]) -> None:
    """Run what has a thread read or write local files: virtual time would not wait for it."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main

    asyncio.run(bounded())


def _seeds(
    one: Callable[[int], Coroutine[Any, Any, None]],
    seeds: int = SEEDS,
    runner: Callable[[Coroutine[Any, Any, None]], None] = run,
) -> None:
    for seed in range(seeds):
        try:
            runner(one(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def _content(seed: int, blocks: float) -> bytes:
    return random.Random(seed).randbytes(int(blocks * BLOCK_BYTES))


@requirement("CLIENT-INV-31")
@pytest.mark.slow
def test_what_is_read_is_whole_however_often_the_connection_breaks() -> None:
    reopened = 0

    async def one(seed: int) -> None:
        nonlocal reopened
        executor, client = await _connected(seed, Faults(cuts=8, frames=14, refuse=0.1))
        wanted = _content(seed, 6.3)
        executor.add(URI, wanted)
        assert await client.fs.read_bytes(URI) == wanted
        async with client.fs.open(URI, "rb") as file:
            pieces = [piece async for piece in file.blocks()]
        assert b"".join(pieces) == wanted
        reopened += executor.opened - 2
        await _finish(executor, client)

    _seeds(one)
    assert reopened > SEEDS


@pytest.mark.slow
def test_pieces_of_two_versions_are_never_put_together() -> None:
    outcomes: Counter[str] = Counter()

    async def one(seed: int) -> None:
        executor, client = await _connected(seed, Faults(cuts=3, frames=14))
        old, new = _content(seed, 6), _content(seed + 1000, 6)
        executor.add(URI, old)

        async def change() -> None:
            await asyncio.sleep(executor.rng.random() * 0.1)
            executor.add(URI, new)

        changing = asyncio.ensure_future(change())
        try:
            data = await client.fs.read_bytes(URI)
            outcomes["whole"] += 1
            assert data in (old, new)
        except FileHandleLostError as error:
            outcomes[f"lost, {error.maybe_executed}"] += "has changed" in str(error)
        await changing
        await _finish(executor, client)

    _seeds(one, SEEDS * 2)
    assert outcomes["whole"] > 5
    assert outcomes["lost, False"] > 2
    assert sum(outcomes.values()) == SEEDS * 2


@pytest.mark.slow
def test_a_write_is_complete_or_says_that_it_may_not_be() -> None:
    outcomes: Counter[str] = Counter()

    async def one(seed: int) -> None:
        executor, client = await _connected(seed, Faults(cuts=2, frames=24))
        wanted = _content(seed, 5.5)
        try:
            async with client.fs.open(URI, "wb") as file:
                for start in range(0, len(wanted), 700_000):
                    await file.write(wanted[start : start + 700_000])
            outcomes["whole"] += 1
            assert executor.files[URI].data == wanted
        except ConnectionBrokenError as error:
            outcomes["broken"] += error.maybe_executed
        await _finish(executor, client)

    _seeds(one, SEEDS * 2)
    assert outcomes["whole"] > 3
    assert outcomes["broken"] > 3
    assert sum(outcomes.values()) == SEEDS * 2


@pytest.mark.slow
@pytest.mark.parametrize("staged", [True, False], ids=["staged", "in place"])
def test_an_upload_gets_there_however_often_the_connection_breaks(
    tmp_path: Path, staged: bool
) -> None:
    sent = 0

    async def one(seed: int) -> None:
        nonlocal sent
        capabilities = ALL if staged else {"fileWriteStreaming": True}
        executor, client = await _connected(seed, Faults(cuts=5, frames=22), capabilities)
        wanted = _content(seed, 7.2)
        (tmp_path / "source").write_bytes(wanted)
        done = await client.fs.upload(tmp_path / "source", URI)
        assert executor.files[URI].data == wanted
        assert set(executor.files) == {URI}
        assert done.files == 1
        sent += sum(method == "fs/writeBlock" for method, _ in executor.asked)
        await _finish(executor, client)

    _seeds(one, FILE_SEEDS, _real)
    again = sent / FILE_SEEDS - 8
    assert again > 0.5, "no block was ever sent twice: nothing broke"
    if staged:
        assert again < 8, "a broken upload begins again instead of going on"


@pytest.mark.slow
def test_a_download_gets_there_even_when_its_file_changes(tmp_path: Path) -> None:
    async def one(seed: int) -> None:
        executor, client = await _connected(seed, Faults(cuts=5, frames=14))
        old, new = _content(seed, 5), _content(seed + 1000, 5.5)
        executor.add(URI, old)

        async def change() -> None:
            await asyncio.sleep(executor.rng.random() * 0.1)
            executor.add(URI, new)

        changing = asyncio.ensure_future(change())
        await client.fs.download(URI, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() in (old, new)
        assert os.listdir(tmp_path) == ["target"]
        await changing
        await _finish(executor, client)

    _seeds(one, FILE_SEEDS, _real)


@requirement("CLIENT-INV-31")
@pytest.mark.slow
def test_cancelling_at_any_moment_leaves_no_file_open() -> None:
    async def one(seed: int) -> None:
        executor, client = await _connected(seed, Faults())
        executor.add(URI, _content(seed, 4.5))

        async def use() -> None:
            async with client.fs.open(URI, "rb") as file:
                await file.read(1_500_000)
                async with client.fs.open("file:///data/other", "wb") as other:
                    while data := await file.read(300_000):
                        await other.write(data)

        async def whole() -> None:
            await client.fs.read_bytes(URI)
            await client.fs.write_bytes("file:///data/more", bytes(5 * BLOCK_BYTES))

        for work in (use, whole):
            task = asyncio.ensure_future(work())
            await asyncio.sleep(executor.rng.random() * 0.03)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await _finish(executor, client)

    _seeds(one, SEEDS * 3)


def test_a_cancelled_read_is_not_missing_from_the_next() -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults())
        wanted = _content(1, 3.5)
        executor.add(URI, wanted)
        got, cancelled = b"", 0
        async with client.fs.open(URI, "rb") as file:
            while len(got) < len(wanted):
                try:
                    async with asyncio.timeout(0.0005):
                        got += await file.read(300_000)
                except TimeoutError:
                    cancelled += 1
                assert file.tell() == len(got)
        assert got == wanted
        assert cancelled > 3
        await _finish(executor, client)

    run(main())


def test_a_broken_upload_is_taken_up_and_a_changed_source_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults())
        source = tmp_path / "source"
        wanted = _content(1, 12)
        source.write_bytes(wanted)
        status = source.stat()
        part = part_name("file", status.st_size, status.st_mtime_ns // 1_000_000)
        kept = executor.add(f"file:///data/{part}", wanted[: 8 * BLOCK_BYTES + 17])

        done = await client.fs.upload(source, URI, resume=True)
        assert executor.files[URI] is kept
        assert kept.data == wanted
        # The blocks that may have been on their way when it broke go again.
        assert (done.kept_bytes, done.sent_bytes) == (4 * BLOCK_BYTES, 8 * BLOCK_BYTES)

        # What is there begins with something else: everything goes again.
        other = executor.add(f"file:///data/{part}", bytes(8 * BLOCK_BYTES))
        executor.clock_ms = 0
        executor.files[URI].modified_ms = 1
        done = await client.fs.upload(source, URI, resume=True)
        assert (done.kept_bytes, done.sent_bytes) == (0, len(wanted))
        assert other.data == wanted

        # Complete and no older than the source: nothing goes.
        executor.files[URI].modified_ms = status.st_mtime_ns // 1_000_000
        done = await client.fs.upload(source, URI, resume=True)
        assert (done.kept_bytes, done.sent_bytes) == (len(wanted), 0)

        # Another version of the source has a part of another name.
        os.utime(source, ns=(0, status.st_mtime_ns + 5_000_000))
        executor.add(f"file:///data/{part}", wanted[: 8 * BLOCK_BYTES])
        done = await client.fs.upload(source, URI, resume=True)
        assert (done.kept_bytes, done.sent_bytes) == (0, len(wanted))
        await _finish(executor, client)

    _real(main())


@pytest.mark.parametrize("resume", [True, False])
def test_a_part_is_for_its_owner_alone_until_it_takes_its_place(
    tmp_path: Path, resume: bool
) -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults())
        source = tmp_path / "source"
        source.write_bytes(_content(1, 12))
        source.chmod(0o640)
        await client.fs.upload(source, URI, resume=resume)
        said = [message for connection in executor.connections for message in connection.said]
        [opened] = [m["params"] for m in said if m["method"] == "fs/open"]
        assert opened["path"].endswith(".part")
        assert opened["createMode"] == 0o600
        [moved] = [m["params"] for m in said if m["method"] == "fs/move"]
        assert (moved["sourcePath"], moved["destinationPath"]) == (opened["path"], URI)
        assert (moved["overwrite"], moved["keepAttributes"]) == (True, True)
        assert 0o640 in (moved.get("createMode"), moved.get("fileMode"))
        await _finish(executor, client)

    _real(main())


@pytest.mark.parametrize("keep", [True, False])
def test_the_part_of_a_cancelled_transfer_is_kept_on_request(tmp_path: Path, keep: bool) -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults())
        (tmp_path / "up").write_bytes(_content(1, 20))
        executor.add(URI, _content(2, 20))
        for transfer in (
            client.fs.upload(tmp_path / "up", "file:///data/up", keep_partial=keep),
            client.fs.download(URI, tmp_path / "down", keep_partial=keep),
        ):
            task = asyncio.ensure_future(transfer)
            while not any(name.endswith("Block") for name, _ in executor.asked[5:]):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.005)
            executor.asked.clear()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        there = [uri for uri in executor.files if uri.endswith(".part")]
        here = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
        assert (len(there), len(here)) == ((1, 1) if keep else (0, 0))
        assert "file:///data/up" not in executor.files
        assert not (tmp_path / "down").exists()
        await _finish(executor, client)

    _real(main())


def test_what_the_executor_lacks_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults(), capabilities={})
        fs = client.fs
        with pytest.raises(UnsupportedError, match="fsMove"):
            await fs.move("/a", "/b")
        with pytest.raises(UnsupportedError, match="fsAtomicWrite"):
            await fs.write_bytes("/a", b"", atomic=True)
        with pytest.raises(UnsupportedError, match="fileWriteStreaming"):
            await fs.open("/a", "wb")
        with pytest.raises(UnsupportedError, match="fsCreateAppend"):
            await fs.touch("/a", exist_ok=False)
        with pytest.raises(UnsupportedError, match="fsCreateAppend"):
            await fs.write_bytes("/a", b"", exclusive=True)
        with pytest.raises(UnsupportedError, match="fsFileModes"):
            await fs.write_bytes("/a", b"", mode=0o600)
        with pytest.raises(UnsupportedError, match="fsFileModes"):
            await fs.chmod("/a", 0o600)
        with pytest.raises(UnsupportedError, match="fsFileModes"):
            await fs.utime("/a")
        with pytest.raises(UnsupportedError, match="fsFileModes"):
            await fs.lstat("/a")
        with pytest.raises(UnsupportedError, match="fsLinks"):
            await fs.symlink("b", "/a")
        with pytest.raises(UnsupportedError, match="fsLinks"):
            await fs.readlink("/a")
        with pytest.raises(UnsupportedError, match="fsLinks"):
            await fs.copy("/a", "/b", follow_symlinks=True)
        with pytest.raises(UnsupportedError, match="do not fit into one request"):
            await fs.write_bytes("/a", bytes(45 * 1024 * 1024))
        assert executor.asked == []
        await _finish(executor, client)

    _real(main())


@pytest.mark.parametrize("mode", ["x", "ab", "r+b"])
def test_a_way_to_open_that_the_executor_lacks_is_refused_before_anything_is_sent(
    mode: Any,
) -> None:
    async def main() -> None:
        executor, client = await _connected(1, Faults(), capabilities={"fileWriteStreaming": True})
        with pytest.raises(UnsupportedError, match="fsCreateAppend"):
            await client.fs.open("/a", mode)
        assert executor.asked == []
        await _finish(executor, client)

    _real(main())


def test_an_executor_that_does_not_keep_the_order_costs_a_round_trip_and_nothing_else() -> None:
    class Late(FakeFileExecutor):
        """Opens files after the requests that come behind."""

        def handle(self, connection: FakeConnection, message: dict[str, Any]) -> None:
            handle = super().handle
            if message["method"] == "fs/open":
                asyncio.get_running_loop().call_later(0.05, handle, connection, message)
            else:
                handle(connection, message)

    async def main() -> None:
        executor, client = await _connected(1, Faults(), kind=Late)
        for blocks in (0.1, 2.5):
            wanted = _content(1, blocks)
            executor.add(URI, wanted)
            assert await client.fs.read_bytes(URI) == wanted
        await _finish(executor, client)

    run(main())


@pytest.mark.parametrize("name", ["..", ".", "", "../escape", "/etc/passwd", "a\0b"])
def test_a_name_that_is_none_is_refused_before_it_becomes_a_path(tmp_path: Path, name: str) -> None:
    class Hostile(FakeFileExecutor):
        """Says that its files have strange names."""

        def _fs_getMetadata(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
            kinds = {"isDirectory": params["path"] == URI, "isFile": params["path"] != URI}
            times = {"createdAtMs": 0, "modifiedAtMs": 0}
            return {"result": {**kinds, "isSymlink": False, "size": 1, **times}}

        def _fs_canonicalize(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
            return {"result": {"path": params["path"]}}

        def _fs_readDirectory(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
            entry = {"fileName": name, "isDirectory": False, "isFile": True}
            return {"result": {"entries": [entry]}}

    async def main() -> None:
        executor, client = await _connected(1, Faults(), kind=Hostile)
        with pytest.raises(MalformedMessageError, match="no name"):
            await client.fs.download(URI, tmp_path / "target")
        with pytest.raises(MalformedMessageError, match="no name"):
            [item async for item in client.fs.iterdir(URI)]
        assert os.listdir(tmp_path) == []
        await _finish(executor, client)

    _real(main())
