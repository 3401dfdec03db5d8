# ruff: noqa: ASYNC240 - what a test looks at is on a local disk
"""The contract of a file system, wherever it is.

One body for an environment of this machine, a remote executor and the reference. All of them
are on this machine, so that what they do can be checked from outside.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import random
import socket
import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

import pytest
from exec_client import FileError, FileSystem
from exec_server_protocol import PathUri

pytestmark = pytest.mark.process

MIB = 1024 * 1024


def _random(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


# ------------------------------------------------------------------ contents


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB + 5, 13 * MIB])
async def test_a_whole_file_goes_there_and_back(fs: FileSystem, folder: Path, size: int) -> None:
    data = _random(size, size)
    assert await fs.write_bytes(folder / "f", data) == size
    assert (folder / "f").read_bytes() == data
    assert await fs.read_bytes(folder / "f") == data


async def test_text_is_text_with_its_line_ends(fs: FileSystem, folder: Path) -> None:
    text = "größe\r\nzwei\n\rdrei"
    assert await fs.write_text(folder / "f", text) == len(text)
    assert (folder / "f").read_bytes() == text.encode()
    assert await fs.read_text(folder / "f") == text
    await fs.write_text(folder / "l", "ä", "latin-1")
    assert await fs.read_text(folder / "l", "latin-1") == "ä"
    with pytest.raises(UnicodeDecodeError):
        await fs.read_text(folder / "l")


async def test_writing_keeps_the_file_that_is_there(fs: FileSystem, folder: Path) -> None:
    (folder / "f").write_text("long content")
    (folder / "f").chmod(0o640)
    (folder / "other").hardlink_to(folder / "f")
    (folder / "link").symlink_to("f")
    await fs.write_text(folder / "link", "new", atomic=False)
    assert (folder / "other").read_text() == "new"
    assert (folder / "f").stat().st_mode & 0o777 == 0o640
    await fs.write_text(folder / "link", "newer")
    assert (folder / "f").read_text() == "newer"
    assert (folder / "link").is_symlink()
    assert (folder / "f").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("path", [str, os.fsencode, Path, PathUri.from_native, Path.as_uri])
async def test_a_path_can_be_given_in_many_ways(
    fs: FileSystem, folder: Path, path: type[str]
) -> None:
    (folder / "f").write_text("x")
    given = path(folder / "f")
    assert await fs.read_text(given) == "x"


async def test_a_relative_path_begins_in_the_executor_s_folder(fs: FileSystem) -> None:
    session = await fs.session()
    cwd = session.cwd
    assert cwd is not None
    assert await fs.realpath(".") == os.path.realpath(cwd.to_native().decode())


async def test_names_that_are_not_utf_8_can_be_used(fs: FileSystem, folder: Path) -> None:
    raw = os.fsencode(folder) + b"/\xff\xfe"
    await fs.write_bytes(raw, b"x")
    assert os.path.exists(raw)
    assert await fs.read_bytes(os.fsdecode(raw)) == b"x"
    assert os.fsencode(await fs.realpath(raw)) == raw
    await fs.remove(raw)
    assert not os.path.exists(raw)


@pytest.mark.skipif(sys.platform != "linux", reason="procfs is of Linux")
async def test_procfs_has_sizes_of_0_and_content_all_the_same(fs: FileSystem, folder: Path) -> None:
    await fs.download("/proc/sys/kernel/ostype", folder / "f")
    assert (folder / "f").read_bytes() == b"Linux\n"
    assert await fs.read_text("/proc/sys/kernel/ostype") == "Linux\n"


# ------------------------------------------------------------------ open files


async def test_a_file_is_read_in_any_pieces(fs: FileSystem, folder: Path) -> None:
    data = _random(1, 5 * MIB + 77)
    (folder / "f").write_bytes(data)
    rng = random.Random(2)
    async with fs.open(folder / "f", "rb") as file:
        assert file.size == len(data)
        got = b""
        while piece := await file.read(rng.choice([1, 100, 70_000, MIB, 2_500_000])):
            got += piece
            assert file.tell() == len(got)
        assert got == data
        assert await file.read() == b""
        assert await file.seek(-10, os.SEEK_END) == len(data) - 10
        assert await file.read() == data[-10:]
        assert await file.seek(3 * MIB - 5) == 3 * MIB - 5
        assert await file.read(10) == data[3 * MIB - 5 : 3 * MIB + 5]
        assert await file.seek(-5, os.SEEK_CUR) == 3 * MIB
        assert await file.read() == data[3 * MIB :]
        pieces = [file.pread(offset, 1_500_000) for offset in range(0, len(data), 1_500_000)]
        assert b"".join(await asyncio.gather(*pieces)) == data
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        await file.read()


async def test_lines_are_those_of_the_file(fs: FileSystem, folder: Path) -> None:
    lines = [f"{'x' * (n % 200)}ä {n}\n" for n in range(40_000)] + ["the last one has no end"]
    (folder / "f").write_text("".join(lines))
    async with fs.open(folder / "f") as text:
        assert [line async for line in text] == lines
    async with fs.open(folder / "f", "rb") as binary:
        assert [line.decode() async for line in binary] == lines
    async with fs.open(folder / "f") as text:
        assert await text.read(7) == "".join(lines)[:7]
        assert await text.readline() == "".join(lines)[7:].partition("\n")[0] + "\n"
        assert await text.read() == "".join(lines[2:])


async def test_what_is_written_in_any_pieces_is_there_in_the_end(
    fs: FileSystem, folder: Path
) -> None:
    (folder / "f").write_bytes(bytes(9 * MIB))
    data = _random(3, 6 * MIB + 123)
    rng = random.Random(4)
    async with fs.open(folder / "f", "wb") as file:
        assert (folder / "f").read_bytes() == b""
        done = 0
        while done < len(data):
            piece = data[done : done + rng.choice([1, 1000, 400_000, MIB, 3_000_000])]
            assert await file.write(piece) == len(piece)
            done += len(piece)
            assert file.tell() == done
        await file.flush()
        assert (folder / "f").read_bytes() == data
        await file.write(b"end")
    assert (folder / "f").read_bytes() == data + b"end"


async def test_text_is_written_as_it_is(fs: FileSystem, folder: Path) -> None:
    async with fs.open(folder / "f", "w", encoding="utf-16") as file:
        assert await file.write("one\n") == 4
        await file.write("zwö\r\n")
    assert (folder / "f").read_bytes().decode("utf-16") == "one\nzwö\r\n"


async def test_an_open_file_stays_the_one_that_was_opened(fs: FileSystem, folder: Path) -> None:
    data = _random(5, 3 * MIB)
    (folder / "f").write_bytes(data)
    file = await fs.open(folder / "f", "rb")
    try:
        assert await file.read(1000) == data[:1000]
        (folder / "f").unlink()
        assert await file.read() == data[1000:]
    finally:
        await file.close()
        await file.close()


@pytest.mark.slow
async def test_every_file_is_closed_in_the_end(fs: FileSystem, folder: Path) -> None:
    """An executor has room for 128: far more are opened here, and left in every way."""
    (folder / "f").write_bytes(bytes(3 * MIB))
    for number in range(130):
        with suppress(ZeroDivisionError):
            async with fs.open(folder / "f", "rb") as file:
                await file.read(1 // (number % 2))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0), fs.open(folder / "f", "wb") as other:
                await other.write(bytes(MIB))
    files = [await fs.open(folder / "f", "rb") for _ in range(128)]
    for file in files:
        await file.close()


@pytest.mark.parametrize("mode", ["w+", "r+", "a+b", "rw", "", "b", "wbt"])
async def test_other_modes_are_refused(fs: FileSystem, mode: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        fs.open("/x", mode)  # type: ignore[call-overload]


# ------------------------------------------------------------------ what is there


async def test_what_is_there_is_told_as_it_is(fs: FileSystem, folder: Path) -> None:
    (folder / "f").write_bytes(b"12345")
    os.utime(folder / "f", (1_600_000_000.25, 1_600_000_000.25))
    (folder / "link").symlink_to("f")
    (folder / "dirlink").symlink_to(".")
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    file, link = await fs.stat(folder / "f"), await fs.stat(folder / "link")
    assert (file.size, file.is_file, file.is_dir, file.is_symlink) == (5, True, False, False)
    assert file.modified_at == 1_600_000_000.25
    assert (link.size, link.is_file, link.is_symlink) == (5, True, True)
    fifo = await fs.stat(folder / "fifo")
    assert (fifo.is_file, fifo.is_dir) == (False, False)
    assert await fs.is_dir(folder)
    assert await fs.is_dir(folder / "dirlink")
    assert await fs.is_symlink(folder / "dirlink")
    assert await fs.is_file(folder / "link")
    assert not await fs.is_file(folder)
    for missing in ("none", "broken", "f/x", "none/x"):
        assert not await fs.exists(folder / missing)
        assert not await fs.is_dir(folder / missing)
    assert await fs.realpath(folder / "dirlink/link") == os.path.realpath(folder / "f")
    with pytest.raises(OSError, match="link"):
        await fs.stat(folder / "link", follow_symlinks=False)


async def test_links_are_refused_on_request(fs: FileSystem, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/f").write_text("x")
    (folder / "link").symlink_to("d")
    real = folder.resolve()
    assert await fs.read_text(real / "d/f", follow_symlinks=False) == "x"
    await fs.write_text(real / "d/f", "y", follow_symlinks=False)
    with pytest.raises(NotADirectoryError):
        await fs.read_text(real / "link/f", follow_symlinks=False)
    with pytest.raises(NotADirectoryError):
        await fs.write_text(real / "link/f", "z", follow_symlinks=False)
    assert (folder / "d/f").read_text() == "y"


# ------------------------------------------------------------------ errors


async def test_errors_are_those_of_the_system(fs: FileSystem, folder: Path) -> None:
    (folder / "f").write_text("x")
    (folder / "d/e").mkdir(parents=True)
    missing, inside = folder / "none", folder / "f/x"
    calls: list[Awaitable[object]] = [
        fs.read_bytes(missing),
        fs.stat(missing),
        fs.realpath(missing),
        fs.remove(missing),
        fs.copy(missing, folder / "g"),
        fs.write_bytes(missing / "x", b""),
        fs.mkdir(missing / "x"),
        fs.open(missing),
        fs.open(missing / "x", "wb"),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError) as caught:
            await call
        assert isinstance(caught.value, FileError)
        assert caught.value.errno == errno.ENOENT
        assert str(missing) in str(caught.value)
    calls = [fs.read_bytes(inside), fs.stat(inside), fs.write_bytes(inside, b"")]
    for call in calls:
        with pytest.raises(NotADirectoryError):
            await call
    with pytest.raises(NotADirectoryError):
        [item async for item in fs.iterdir(folder / "f")]
    calls = [
        fs.read_bytes(folder / "d"),
        fs.write_bytes(folder / "d", b""),
        fs.open(folder / "d", "rb"),
        fs.read_bytes(folder / "d", follow_symlinks=False),
    ]
    for call in calls:
        with pytest.raises(IsADirectoryError):
            await call
    with pytest.raises(FileExistsError):
        await fs.mkdir(folder / "f")
    with pytest.raises(OSError, match="not empty") as not_empty:
        await fs.remove(folder / "d")
    assert not_empty.value.errno == errno.ENOTEMPTY


# ------------------------------------------------------------------ changes


async def test_directories_are_made_as_pathlib_makes_them(fs: FileSystem, folder: Path) -> None:
    await fs.mkdir(folder / "a")
    with pytest.raises(FileExistsError):
        await fs.mkdir(folder / "a")
    await fs.mkdir(folder / "a", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        await fs.mkdir(folder / "b/c")
    await fs.mkdir(folder / "b/c", parents=True)
    with pytest.raises(FileExistsError):
        await fs.mkdir(folder / "b/c", parents=True)
    await fs.mkdir(folder / "b/c/d", parents=True, exist_ok=True)
    await fs.mkdir(folder / "b/c/d", parents=True, exist_ok=True)
    (folder / "f").write_text("x")
    for parents in (False, True):
        with pytest.raises(FileExistsError):
            await fs.mkdir(folder / "f", parents=parents, exist_ok=True)
    assert sorted(path.name for path in folder.rglob("*")) == ["a", "b", "c", "d", "f"]


async def test_removing_is_careful_unless_told(fs: FileSystem, folder: Path) -> None:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/e/f").write_text("x")
    (folder / "link").symlink_to("d")
    with pytest.raises(FileNotFoundError):
        await fs.remove(folder / "none")
    await fs.remove(folder / "none", missing_ok=True)
    with pytest.raises(OSError, match="not empty"):
        await fs.remove(folder / "d")
    await fs.remove(folder / "link", recursive=True)
    assert (folder / "d/e/f").exists()
    await fs.remove(folder / "d/e/f")
    await fs.remove(folder / "d/e")
    (folder / "d/g").mkdir()
    await fs.remove(folder / "d", recursive=True)
    assert list(folder.iterdir()) == []


async def test_copying_takes_files_and_on_request_trees(fs: FileSystem, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/f").write_text("x")
    (folder / "d/f").chmod(0o755)
    (folder / "d/link").symlink_to("f")
    await fs.copy(folder / "d/f", folder / "g")
    assert (folder / "g").stat().st_mode & 0o777 == 0o755
    with pytest.raises(OSError, match="recursive"):
        await fs.copy(folder / "d", folder / "e")
    await fs.copy(folder / "d", folder / "e", recursive=True)
    assert os.readlink(folder / "e/link") == "f"
    assert (folder / "e/f").read_text() == "x"


@pytest.mark.usefixtures("extended")
async def test_moving_replaces_nothing_unless_told(fs: FileSystem, folder: Path) -> None:
    (folder / "f").write_text("f")
    (folder / "g").write_text("g")
    with pytest.raises(FileExistsError):
        await fs.move(folder / "f", folder / "g")
    assert (folder / "g").read_text() == "g"
    await fs.move(folder / "f", folder / "g", overwrite=True)
    assert (folder / "g").read_text() == "f"
    (folder / "d").mkdir()
    await fs.move(folder / "d", folder / "e")
    assert sorted(path.name for path in folder.iterdir()) == ["e", "g"]


@pytest.mark.usefixtures("extended")
async def test_an_atomic_write_is_seen_whole_or_not_at_all(fs: FileSystem, folder: Path) -> None:
    old, new = bytes(2 * MIB), b"\1" * 2 * MIB
    (folder / "f").write_bytes(old)
    (folder / "f").chmod(0o604)
    writing = asyncio.ensure_future(fs.write_bytes(folder / "f", new, atomic=True))
    seen = set()
    while not writing.done():
        data = (folder / "f").read_bytes()
        assert data in (old, new)
        seen.add(data[:1])
        await asyncio.sleep(0)
    assert await writing == len(new)
    assert (folder / "f").read_bytes() == new
    assert (folder / "f").stat().st_mode & 0o777 == 0o604
    assert os.listdir(folder) == ["f"]


# ------------------------------------------------------------------ trees


def _tree(folder: Path) -> None:
    for name in ("a/b/c.py", "a/d.txt", ".hidden/e.py", "f.py", "a/.git/config", "x [1]/g.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "a/up").symlink_to("..")
    (folder / "a/to_f").symlink_to("../f.py")
    (folder / "broken").symlink_to("nowhere")


async def test_a_directory_is_listed_with_what_links_lead_to(fs: FileSystem, folder: Path) -> None:
    _tree(folder)
    os.mkfifo(folder / "fifo")
    items = [item async for item in fs.iterdir(folder)]
    found = {item.name: (item.is_dir, item.is_file) for item in items}
    complete = (await fs.session()).supports("fsLinks")
    assert list(found) == sorted(found)
    assert found == {
        ".hidden": (True, False),
        "a": (True, False),
        **({"broken": (False, False)} if complete else {}),
        "f.py": (False, True),
        "fifo": (False, False),
        "x [1]": (True, False),
    }
    assert await fs.read_text(next(item for item in items if item.name == "f.py")) == "f.py"
    inside = [(item.path, item.is_dir) async for item in fs.iterdir(folder / "a")]
    assert (str(folder / "a/up"), True) in inside
    assert (str(folder / "a/to_f"), False) in inside


async def test_a_walk_sees_what_os_walk_sees(fs: FileSystem, folder: Path) -> None:
    _tree(folder)
    (folder / "broken").unlink()
    steps = {step.path: step async for step in fs.walk(folder)}
    expected = {path: (sorted(dirs), sorted(files)) for path, dirs, files in os.walk(folder)}
    assert {path: (step.directories, step.files) for path, step in steps.items()} == expected
    followed = [step.path async for step in fs.walk(folder, follow_symlinks=True)]
    assert len(followed) == len(steps)


async def test_a_walk_can_be_pruned_and_left(fs: FileSystem, folder: Path) -> None:
    _tree(folder)
    seen = []
    async for step in fs.walk(folder):
        seen.append(os.path.relpath(step.path, folder))
        step.directories[:] = [name for name in step.directories if not name.startswith(".")]
    assert seen == [".", "a", "x [1]", "a/b"]
    async for _ in fs.walk(folder):
        break
    errors: list[OSError] = []
    assert [step async for step in fs.walk(folder / "none", on_error=errors.append)] == []
    assert [isinstance(error, FileNotFoundError) for error in errors] == [True]


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.py",
        "*/*",
        "a/*",
        "a/b/c.py",
        "a/none",
        "**",
        "**/*.py",
        "a/**",
        "**/b/*",
        "*/b",
        ".*/*",
        "[a-f]*",
        "x [[]1]/*",
        "?.py",
        "**/**/c.py",
        "a/to_f",
        "*/to_f",
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
async def test_a_pattern_finds_what_the_glob_module_finds(
    fs: FileSystem, folder: Path, pattern: str, hidden: bool
) -> None:
    _tree(folder)
    (folder / "broken").unlink()
    (folder / "a/up").unlink()  # the module follows it for ever
    found = [path async for path in fs.glob(f"{folder}/{pattern}", include_hidden=hidden)]
    expected = glob.glob(f"{folder}/{pattern}", recursive=True, include_hidden=hidden)
    assert sorted(found) == sorted({path.rstrip("/") for path in expected})
    assert len(found) == len(set(found))


async def test_a_scan_is_one_answer_with_limits(fs: FileSystem, folder: Path) -> None:
    _tree(folder)
    result = await fs.scan(folder)
    assert not result.truncated
    assert result.errors == []
    names = {os.path.relpath(item.path, folder): item.kind for item in result.items}
    assert names["a/b"] == "directory"
    assert names["a/b/c.py"] == "file"
    assert "a/up" not in names
    pruned = await fs.scan(folder, prune_hidden=True, max_depth=1)
    assert {os.path.relpath(item.path, folder) for item in pruned.items} == {
        ".hidden",
        "a",
        "a/.git",
        "a/b",
        "a/d.txt",
        "f.py",
        "x [1]",
        "x [1]/g.py",
    }
    assert (await fs.scan(folder, max_entries=2)).truncated
    with pytest.raises(FileNotFoundError):
        await fs.scan(folder / "none")


async def test_a_wide_tree_is_walked_completely(fs: FileSystem, folder: Path) -> None:
    for number in range(60):
        (folder / f"d{number}/e").mkdir(parents=True)
        (folder / f"d{number}/e/f").write_text("x")
    assert len([step async for step in fs.walk(folder)]) == 121
    assert len([path async for path in fs.glob(f"{folder}/**/f")]) == 60


# ------------------------------------------------------------------ transfers


async def test_a_tree_goes_there_and_back(fs: FileSystem, folder: Path) -> None:
    source = folder / "source"
    _tree(source)
    (source / "broken").unlink()
    (source / "empty").mkdir()
    (source / "big").write_bytes(_random(6, 6 * MIB + 3))
    told: list[tuple[int, int]] = []
    up = await fs.upload(
        source,
        folder / "there",
        progress=lambda p: told.append((p.done_bytes, p.total_bytes)),
        follow_symlinks=True,
    )
    down = await fs.download(folder / "there", folder / "back", follow_symlinks=True)
    expected = {
        os.path.relpath(path, source): path.read_bytes() if path.is_file() else None
        for path in source.rglob("*")
        if "up" not in path.parts
    }
    for root in ("there", "back"):
        assert {
            os.path.relpath(path, folder / root): path.read_bytes() if path.is_file() else None
            for path in (folder / root).rglob("*")
        } == expected
    assert up.skipped == [str(source / "a/up")]
    assert down.skipped == []
    assert up.files == down.files == sum(data is not None for data in expected.values())
    assert up.sent_bytes == down.sent_bytes == told[-1][0] == told[-1][1]
    assert (folder / "back/big").stat().st_mtime == pytest.approx(
        (folder / "there/big").stat().st_mtime, abs=0.002
    )


async def test_a_complete_file_is_not_sent_again(fs: FileSystem, folder: Path) -> None:
    (folder / "s").mkdir()
    for name, size in (("small", 10), ("big", 5 * MIB)):
        (folder / "s" / name).write_bytes(_random(size, size))
        os.utime(folder / "s" / name, (1_600_000_000, 1_600_000_000))
    await fs.upload(folder / "s", folder / "t")
    again = await fs.upload(folder / "s", folder / "t", resume=True)
    assert (again.sent_bytes, again.kept_bytes) == (0, 5 * MIB + 10)
    await fs.download(folder / "t", folder / "u")
    again = await fs.download(folder / "t", folder / "u", resume=True)
    assert (again.sent_bytes, again.kept_bytes) == (0, 5 * MIB + 10)
    os.utime(folder / "t/big")
    (folder / "t/small").write_bytes(b"other 1234")
    again = await fs.download(folder / "t", folder / "u", resume=True)
    assert (again.sent_bytes, again.kept_bytes) == (5 * MIB + 10, 0)
    assert (folder / "u/small").read_bytes() == b"other 1234"


async def test_a_target_keeps_its_mode_and_a_link_its_place(fs: FileSystem, folder: Path) -> None:
    (folder / "s").write_bytes(_random(7, 5 * MIB))
    for name in ("up", "down"):
        (folder / f"{name}.real").write_text("old")
        (folder / name).symlink_to(f"{name}.real")
    (folder / "down.real").chmod(0o600)
    await fs.upload(folder / "s", folder / "up")
    await fs.download(folder / "s", folder / "down")
    for name in ("up", "down"):
        assert (folder / name).is_symlink()
        assert (folder / f"{name}.real").read_bytes() == (folder / "s").read_bytes()
    assert (folder / "down.real").stat().st_mode & 0o777 == 0o600
    assert len(os.listdir(folder)) == 5


async def test_one_bad_file_ends_a_transfer_or_is_reported(fs: FileSystem, folder: Path) -> None:
    (folder / "s").mkdir()
    for name in ("a", "b", "c"):
        (folder / "s" / name).write_text(name)
    (folder / "s/broken").symlink_to("nowhere")
    (folder / "t/b").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        await fs.upload(folder / "s", folder / "t", follow_symlinks=True)
    (folder / "s/broken").unlink()
    with pytest.raises(IsADirectoryError):
        await fs.upload(folder / "s", folder / "t")
    errors: list[OSError] = []
    result = await fs.upload(folder / "s", folder / "t", on_error=errors.append)
    assert [isinstance(error, IsADirectoryError) for error in errors] == [True]
    assert result.files == 2
    with pytest.raises(FileNotFoundError):
        await fs.download(folder / "none", folder / "x")
    with pytest.raises(FileNotFoundError):
        await fs.upload(folder / "none", folder / "x")
    with pytest.raises(FileNotFoundError):
        await fs.upload(folder / "s", folder / "no/folder")


async def test_sockets_are_skipped_and_said_so(fs: FileSystem, folder: Path) -> None:
    (folder / "s").mkdir()
    (folder / "s/f").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s/sock"))
        up = await fs.upload(folder / "s", folder / "t")
        down = await fs.download(folder / "s", folder / "u")
    assert up.skipped == down.skipped == [str(folder / "s/sock")]
    assert os.listdir(folder / "u") == os.listdir(folder / "t") == ["f"]
