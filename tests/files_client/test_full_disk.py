"""A disk that fills up while a file is replaced: the old file stays, and nothing else is left."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from exec_client import Client, FileError, connect
from exec_testkit.server import ServerProcess
from exec_testkit.small_disk import small_disk_command

pytestmark = [pytest.mark.process, pytest.mark.slow]

OLD = b"old" * 100_000


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client whose executor has a disk of 1 MiB at ``tmp_path/disk``."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with ServerProcess(command=small_disk_command(str(disk), "1m")) as server:
        async with connect(server.url) as client:
            yield client


async def _upload(client: Client, source: Path, target: str) -> None:
    await client.fs.upload(source, target)


async def _write_bytes(client: Client, source: Path, target: str) -> None:
    await client.fs.write_bytes(target, b"n" * source.stat().st_size)  # noqa: ASYNC240


async def _copy(client: Client, source: Path, target: str) -> None:
    await client.fs.copy(str(source), target)


@pytest.mark.parametrize("target", ["old", "new"])
@pytest.mark.parametrize("size", [2_000_000, 6_000_000])
@pytest.mark.parametrize("write", [_upload, _write_bytes, _copy])
async def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one(
    client: Client,
    tmp_path: Path,
    write: Callable[[Client, Path, str], Awaitable[None]],
    size: int,
    target: str,
) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk"
    source.write_bytes(b"n" * size)
    await client.fs.write_bytes(f"{disk}/old", OLD)
    with pytest.raises(FileError) as raised:
        await write(client, source, f"{disk}/{target}")
    assert raised.value.errno == errno.ENOSPC
    assert await client.fs.read_bytes(f"{disk}/old") == OLD
    assert [entry.name async for entry in client.fs.iterdir(str(disk))] == ["old"]
