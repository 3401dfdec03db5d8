"""Trees with links, modes and strange names; races; many open files: what local tools would do."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest
from exec_client import Client, FileSystem, connect
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("extended")]

MIB = 1024 * 1024
DIRECTIONS = ("upload", "download")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_links_are_made_again_and_followed_on_request(
    fs: FileSystem, folder: Path, direction: str
) -> None:
    source, copy, followed = folder / "s", folder / "c", folder / "f"
    (source / "releases/2").mkdir(parents=True)
    (source / "releases/2/app").write_text("2")
    (source / "a_current").symlink_to("releases/2")
    (source / "nothing").symlink_to("/no/such")
    transfer = getattr(fs, direction)
    for _ in range(2):  # what is there already is no obstacle
        result = await transfer(source, copy)
    assert (result.skipped, result.files) == ([], 1)
    assert os.readlink(copy / "a_current") == "releases/2"
    assert os.readlink(copy / "nothing") == "/no/such"
    assert (copy / "a_current/app").read_text() == "2"

    (source / "nothing").unlink()
    (source / "releases/up").symlink_to("..")
    result = await transfer(source, followed, follow_symlinks=True)
    assert not (followed / "a_current").is_symlink()
    assert (followed / "a_current/app").read_text() == "2"
    assert result.skipped == [str(source / "releases/up")]


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_new_files_have_the_source_s_mode_and_old_ones_keep_theirs(
    fs: FileSystem, folder: Path, direction: str
) -> None:
    source, target = folder / "s", folder / "t"
    (source / "private").mkdir(parents=True)
    modes = {"private": 0o500, "tool": 0o755, "secret": 0o600, "large": 0o640, "private/f": 0o400}
    for name in ("tool", "secret", "private/f", "kept"):
        (source / name).write_text("x")
    (source / "large").write_bytes(bytes(5 * MIB))
    os.utime(source / "large", (1, 1_600_000_000))
    for name, mode in reversed(modes.items()):
        (source / name).chmod(mode)
    target.mkdir()
    (target / "kept").write_text("old")
    (target / "kept").chmod(0o604)
    result = await getattr(fs, direction)(source, target)
    assert result.notes == []
    assert {name: _mode(target / name) for name in modes} == modes
    assert (_mode(target / "kept"), (target / "kept").read_text()) == (0o604, "x")
    assert (target / "large").stat().st_mtime == 1_600_000_000
    assert not list(target.rglob("*.part"))


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_names_that_are_not_utf_8_go_along_and_fifos_are_named(
    fs: FileSystem, folder: Path, direction: str
) -> None:
    source = folder / "s"
    name = os.fsdecode(b"\xff\xfe")
    (source / name).mkdir(parents=True)
    (source / name / name).write_text("x")
    os.mkfifo(source / "fifo")
    result = await getattr(fs, direction)(source, folder / "t")
    assert (folder / "t" / name / name).read_text() == "x"
    assert result.skipped == [str(source / "fifo")]


@pytest.mark.parametrize("size", [10, 5 * MIB])
async def test_a_download_is_not_led_outside_by_a_link_that_came_before(
    fs: FileSystem, folder: Path, size: int
) -> None:
    outside = folder / "outside"
    outside.mkdir()
    (outside / "f").write_text("mine")
    (folder / "s").mkdir()
    (folder / "s/d").symlink_to(outside)
    (folder / "s/l").symlink_to(outside / "f")
    await fs.download(folder / "s", folder / "t")
    for name in ("d", "l"):
        (folder / "s" / name).unlink()
    (folder / "s/d").mkdir()
    (folder / "s/d/f").write_bytes(bytes(size))
    (folder / "s/l").write_bytes(bytes(size))
    errors: list[OSError] = []
    await fs.download(folder / "s", folder / "t", on_error=errors.append)
    assert errors
    refused = {Path(str(error.filename)).relative_to(folder / "t").parts[0] for error in errors}
    assert refused == {"d"}
    assert [path.name for path in outside.iterdir()] == ["f"]
    assert (outside / "f").read_text() == "mine"
    assert (folder / "t/l").stat().st_size == size


async def test_a_deep_tree_takes_as_long_down_as_up(fs: FileSystem, folder: Path) -> None:
    deep = folder / "s"
    for _ in range(400):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    took = {}
    for direction, target in zip(DIRECTIONS, ("u", "v"), strict=True):
        started = time.process_time()
        assert (await getattr(fs, direction)(folder / "s", folder / target)).files == 1
        took[direction] = time.process_time() - started
    assert took["download"] < 5 * took["upload"] + 1
    # The next test run would remove it level by level.
    for name in "suv":
        await fs.remove(folder / name, recursive=True)


# ---------------------------------------------------------------- races and many files


async def test_of_many_who_create_a_file_one_wins(server: ServerProcess, folder: Path) -> None:
    names = [str(folder / f"{number}") for number in range(100)]
    wins: list[str] = []

    async def race(client: Client, number: int) -> None:
        for index, name in enumerate(names):
            try:
                match (number + index) % 3:
                    case 0:
                        await client.fs.touch(name, exist_ok=False)
                    case 1:
                        await client.fs.write_bytes(name, b"x", exclusive=True)
                    case _:
                        async with client.fs.open(name, "xb"):
                            pass
                wins.append(name)
            except FileExistsError:
                pass

    async with asyncio.TaskGroup() as connecting:
        tasks = [connecting.create_task(_client(server)) for _ in range(8)]
    clients = [task.result() for task in tasks]
    try:
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(race(client, number))
    finally:
        for client in clients:
            await client.aclose()
    assert sorted(wins) == sorted(names)


async def _client(server: ServerProcess) -> Client:
    return await connect(server.url)


async def test_any_number_of_files_is_read_and_written_at_once(
    fs: FileSystem, folder: Path
) -> None:
    async def use(number: int) -> None:
        path = folder / str(number)
        async with fs.open(path, "wb") as file:
            await file.write(b"%d" % number)
        async with fs.open(path, "rb") as file:
            assert await file.pread(0, 10) == b"%d" % number

    async with asyncio.TaskGroup() as group:
        for number in range(300):
            group.create_task(use(number))


async def test_one_task_holds_more_readers_than_there_is_room_and_reads_from_all(
    fs: FileSystem, folder: Path
) -> None:
    for number in range(150):
        (folder / str(number)).write_text(str(number))
    async with asyncio.timeout(30):
        files = [await fs.open(folder / str(number), "rb") for number in range(150)]
        assert [await file.read() for file in files] == [b"%d" % n for n in range(150)]
        await fs.download(folder / "1", folder / "copy")
        for file in files:
            await file.close()


# ---------------------------------------------------------------- a full disk


async def test_equal_transfers_at_once_all_succeed(fs: FileSystem, folder: Path) -> None:
    source = folder / "source"
    source.write_bytes(os.urandom(6 * MIB))
    for direction in DIRECTIONS:
        for keep in (False, True):
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    work = getattr(fs, direction)(source, folder / "t", keep_partial=keep)
                    group.create_task(work)
            assert (folder / "t").read_bytes() == source.read_bytes()
    assert sorted(os.listdir(folder)) == ["source", "t"]
