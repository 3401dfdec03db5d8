"""The fsspec filesystem: fsspec's own suite for implementations, and what is ours in it."""

from __future__ import annotations

import asyncio
import datetime
import functools
import gc
import os
import pickle
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from traceback import walk_tb
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from exec_client import FileError
from exec_client._fsspec.file import ExecFile
from exec_client.environment import EnvironmentConfigError
from exec_client.environment.config import URL_VARIABLES
from exec_client.filesystem.contents import WHOLE_WRITE_BYTES
from exec_client.fsspec import ExecFileSystem
from exec_server_protocol import SandboxContext
from exec_testkit.server import ServerProcess
from fsspec.asyn import sync  # type: ignore[import-untyped]
from fsspec.callbacks import Callback  # type: ignore[import-untyped]
from fsspec.generic import rsync  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from fsspec.tests import abstract  # type: ignore[import-untyped]

pytestmark = pytest.mark.process

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def executor(server: ServerProcess) -> Iterator[ExecFileSystem]:
    fs = fsspec.filesystem("exec", url=server.url, auto_mkdir=True)
    yield fs
    fs.close()


class _Missing:
    """For what the suite of an old release does not test."""


class _Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # fsspec is not typed
    @pytest.fixture
    def fs(self, executor: ExecFileSystem) -> ExecFileSystem:
        return executor

    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        # Theirs is of class scope, which some of its releases and of pytest's write differently.
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs_path(self, folder: Path) -> str:
        (folder / "there").mkdir()
        return str(folder / "there")


class TestCopy(abstract.AbstractCopyTests, _Fixtures):  # type: ignore[misc]
    """Suite of fsspec."""


class TestGet(abstract.AbstractGetTests, _Fixtures):  # type: ignore[misc]
    """Suite of fsspec."""


class TestPut(abstract.AbstractPutTests, _Fixtures):  # type: ignore[misc]
    """Suite of fsspec."""


class TestPipe(getattr(abstract, "AbstractPipeTests", _Missing), _Fixtures):  # type: ignore[misc]
    """Suite of fsspec."""


class TestOpen(getattr(abstract, "AbstractOpenTests", _Missing), _Fixtures):  # type: ignore[misc]
    """Suite of fsspec."""


# ------------------------------------------------------------------ what is there


def test_urls_name_the_executor(server: ServerProcess, folder: Path) -> None:
    (folder / "f").write_text("x")
    address = server.url.removeprefix("ws://")
    with fsspec.open(f"exec://{address}{folder}/f", "r") as file:
        assert file.read() == "x"
    fs, path = fsspec.core.url_to_fs(f"exec://{address}{folder}/f")
    assert path == f"{folder}/f"
    assert fs is fsspec.filesystem("exec", url=server.url)
    assert fs.unstrip_protocol(path) == f"exec://{address}{folder}/f"
    assert fs.unstrip_protocol(fs.unstrip_protocol(path)) == f"exec://{address}{folder}/f"
    assert fsspec.open(f"exec://{address}{folder}/f").full_name == f"exec://{address}{folder}/f"
    with pytest.raises(ValueError, match="not on this executor"):
        fs.cat_file(f"exec://127.0.0.1:1{folder}/f")
    fs.close()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("ws://build:8765", "exec://build:8765/f"),
        ("Build:8765/", "exec://build:8765/f"),
        ("wss://build", "execs://build/f"),
        ("ws://[::1]:80", "exec://[%3A%3A1]:80/f"),
        ("wss://build/base?k=v&m=%20", "execs://build%2Fbase%3Fk%3Dv%26m%3D%2520/f"),
        ("ws://local", "exec://local:80/f"),
        ("local", "exec://local/f"),
    ],
)
def test_a_url_leads_back_to_its_executor(address: str, url: str) -> None:
    fs = ExecFileSystem(address, skip_instance_cache=True)
    assert fs.unstrip_protocol("/f") == url
    again, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    assert (again.unstrip_protocol(path), path) == (url, "/f")
    assert type(again) is ExecFileSystem


def test_this_machine_is_used_only_when_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in URL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (folder / "f").write_text("x")
    with pytest.raises(EnvironmentConfigError, match="exec://local/"):
        fsspec.filesystem("exec", skip_instance_cache=True)
    with pytest.raises(EnvironmentConfigError, match="exec://local/"):
        fsspec.open(f"exec://{folder}/f", skip_instance_cache=True)
    fs, path = fsspec.core.url_to_fs(f"exec://local{folder}/f")
    assert fs.cat_file(path) == b"x"
    fs.close()


def test_rsync_goes_from_one_executor_to_the_other(
    server: ServerProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one that the variable names is neither: nothing may be done there.
    monkeypatch.setenv("EXEC_SERVER_URL", "ws://127.0.0.1:1")
    (folder / "from/deep").mkdir(parents=True)
    (folder / "from/deep/f").write_text("x")
    (folder / "to").mkdir()
    with ServerProcess() as second:
        source = f"exec://{server.url.removeprefix('ws://')}{folder}/from"
        target = f"exec://{second.url.removeprefix('ws://')}{folder}/to"
        copied = rsync(source, target, inst_kwargs={"default_method": "options"})
        assert copied == {f"{source}/deep/f": f"{target}/deep/f"}
        assert (folder / "to/deep/f").read_text() == "x"
        assert rsync(source, target, inst_kwargs={"default_method": "options"}) == {}
        with pytest.raises(ValueError, match="not on this executor"):
            rsync(source, target)


def test_a_url_without_an_executor_uses_the_variable(
    server: ServerProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_SERVER_URL", server.url)
    (folder / "f").write_text("x")
    with fsspec.open(f"exec://{folder}/f", "rb") as file:
        assert file.read() == b"x"
        assert file.full_name == f"exec://{server.url.removeprefix('ws://')}{folder}/f"
    fs = fsspec.filesystem("exec")
    monkeypatch.setenv("EXEC_SERVER_URL", "ws://127.0.0.1:1")
    assert fsspec.filesystem("exec") is not fs
    again: ExecFileSystem = pickle.loads(pickle.dumps(fs))
    assert again.unstrip_protocol("/f") == fs.unstrip_protocol("/f")
    for one in (fs, again):
        one.close()


def test_listings_have_what_fsspec_knows(executor: ExecFileSystem, folder: Path) -> None:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/f.txt").write_bytes(b"123")
    os.utime(folder / "d/f.txt", (1_600_000_000, 1_600_000_000))
    (folder / "d/link").symlink_to("f.txt")
    (folder / "d/broken").symlink_to("nowhere")
    found = {info["name"]: info for info in executor.ls(folder / "d")}
    assert {os.path.basename(name): info["type"] for name, info in found.items()} == {
        "e": "directory",
        "f.txt": "file",
        "link": "file",
        "broken": "other",
    }
    assert found[f"{folder}/d/broken"]["islink"]
    assert found[f"{folder}/d/broken"] == executor.info(f"{folder}/d/broken")
    assert not executor.exists(f"{folder}/d/broken")
    file = found[f"{folder}/d/f.txt"]
    assert (file["size"], file["mtime"], file["islink"]) == (3, 1_600_000_000, False)
    assert executor.info(f"exec://{folder}/d/f.txt") == file
    assert executor.ls(folder / "d/f.txt", detail=False) == [f"{folder}/d/f.txt"]
    assert executor.modified(str(folder / "d/f.txt")) == datetime.datetime(
        2020, 9, 13, 12, 26, 40, tzinfo=datetime.UTC
    )
    assert executor.exists(folder / "d")
    assert executor.isdir(str(folder / "d"))
    assert executor.isfile(str(folder / "d/link"))
    assert executor.glob(f"{folder}/**/*.txt") == [f"{folder}/d/f.txt"]
    assert [step[0] for step in executor.walk(str(folder))] == [
        str(folder),
        f"{folder}/d",
        f"{folder}/d/e",
    ]
    assert executor.find(str(folder)) == [
        f"{folder}/d/broken",
        f"{folder}/d/f.txt",
        f"{folder}/d/link",
    ]
    assert executor.du(str(folder)) == 6
    with pytest.raises(FileNotFoundError) as caught:
        executor.info(str(folder / "none"))
    assert isinstance(caught.value, FileError)


# ------------------------------------------------------------------ contents


def test_a_file_is_read_and_written_in_pieces(executor: ExecFileSystem, folder: Path) -> None:
    data = random.Random(1).randbytes(7 * MIB + 3)
    path = f"{folder}/f"
    with executor.open(path, "wb") as file:
        for start in range(0, len(data), 300_000):
            file.write(data[start : start + 300_000])
    assert (folder / "f").read_bytes() == data
    with executor.open(path, "rb", block_size=MIB) as file:
        assert file.read(10) == data[:10]
        file.seek(-10, 2)
        assert file.read() == data[-10:]
        file.seek(3 * MIB)
        assert file.read(2 * MIB) == data[3 * MIB : 5 * MIB]
    assert executor.cat_file(path, 5, 15) == data[5:15]
    assert executor.cat_file(path, -4) == data[-4:]
    assert executor.cat_ranges([path, path], [0, 10], [5, 20]) == [data[:5], data[10:20]]
    assert executor.cat(path) == data
    assert executor.head(path, 3) == data[:3]
    assert executor.tail(path, 3) == data[-3:]
    with executor.open(path, "ab") as file:
        assert file.tell() == len(data)
        file.write(b"more")
        assert file.tell() == len(data) + 4
    assert (folder / "f").read_bytes() == data + b"more"
    with pytest.raises(NotImplementedError, match="replaces"):
        executor.open(path, "r+b")
    with pytest.raises(FileExistsError):
        executor.open(path, "xb")
    executor.touch(f"{folder}/new/empty")
    assert (folder / "new/empty").read_bytes() == b""
    with executor.open(f"{folder}/log/new", "ab") as file:
        file.write(b"1")
    os.utime(folder / "log/new", (1, 1))
    executor.touch(f"{folder}/log/new", truncate=False)
    assert (folder / "log/new").read_bytes() == b"1"
    assert (folder / "log/new").stat().st_mtime > 1
    ranges = executor.cat_ranges([path] * 500, list(range(500)), [n + 3 for n in range(500)])
    assert ranges == [data[n : n + 3] for n in range(500)]


def test_one_of_several_makes_a_file(executor: ExecFileSystem, folder: Path) -> None:
    for number in range(8):
        (folder / f"small{number}").write_text(str(number))
        (folder / f"large{number}").write_text(str(number) + "x" * WHOLE_WRITE_BYTES)

    def open_it(number: int) -> bool:
        try:
            with executor.open(f"{folder}/opened", "xb") as file:
                file.write(b"%d" % number)
        except FileExistsError:
            return False
        return True

    def pipe_it(number: int) -> bool:
        try:
            executor.pipe_file(f"{folder}/piped", b"%d" % number, mode="create")
        except FileExistsError:
            return False
        return True

    def put_it(kind: str, number: int) -> bool:
        try:
            executor.put_file(f"{folder}/{kind}{number}", f"{folder}/put-{kind}", mode="create")
        except FileExistsError:
            return False
        return True

    makers: dict[str, Callable[[int], bool]] = {
        "opened": open_it,
        "piped": pipe_it,
        "put-small": functools.partial(put_it, "small"),
        "put-large": functools.partial(put_it, "large"),
    }
    with ThreadPoolExecutor(8) as threads:
        for name, make in makers.items():
            for _ in range(5 if name == "put-large" else 20):
                won = list(threads.map(make, range(8)))
                assert sum(won) == 1
                assert (folder / name).read_text()[0] == str(won.index(True))
                (folder / name).unlink()
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_transaction_shows_all_files_or_none(executor: ExecFileSystem, folder: Path) -> None:
    with executor.transaction:
        with executor.open(f"{folder}/f", "wb") as file:
            file.write(b"x")
        assert not (folder / "f").exists()
    assert (folder / "f").read_bytes() == b"x"

    class Stop(Exception):
        """Ends a transaction."""

    def fail() -> None:
        with executor.transaction:
            with executor.open(f"{folder}/g", "wb") as file:
                file.write(b"x")
            raise Stop

    with pytest.raises(Stop):
        fail()
    assert os.listdir(folder) == ["f"]


def test_transfers_report_to_callbacks(executor: ExecFileSystem, folder: Path) -> None:
    (folder / "f").write_bytes(bytes(5 * MIB))
    for move, target in (
        (executor.put_file, folder / "up"),
        (executor.get_file, folder / "down"),
    ):
        callback = Callback()
        move(str(folder / "f"), str(target), callback=callback)
        assert (callback.size, callback.value) == (5 * MIB, 5 * MIB)


# ------------------------------------------------------------------ changes


def test_moving_is_renaming(executor: ExecFileSystem, folder: Path) -> None:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/f").write_text("x")
    inode = (folder / "d/f").stat().st_ino
    executor.mv(f"{folder}/d/f", f"{folder}/d/g")
    executor.mv(f"{folder}/d/g", f"{folder}/d/e")
    assert (folder / "d/e/g").stat().st_ino == inode
    with pytest.raises(IsADirectoryError):
        executor.mv(f"{folder}/d", f"{folder}/h")
    executor.mv(f"{folder}/d", f"{folder}/h", recursive=True)
    assert (folder / "h/e/g").stat().st_ino == inode
    executor.mv(f"{folder}/h/e/*", f"{folder}/k/")
    assert (folder / "k/g").read_text() == "x"
    assert os.listdir(folder / "h/e") == []


def test_removing_needs_to_be_told(executor: ExecFileSystem, folder: Path) -> None:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/f").write_text("x")
    with pytest.raises(OSError, match="not empty"):
        executor.rm(f"{folder}/d")
    executor.rm_file(f"{folder}/d/f")
    executor.rmdir(f"{folder}/d/e")
    with pytest.raises(FileNotFoundError):
        executor.rmdir(f"{folder}/d/e")
    for name in ("a.txt", "b.txt", "c"):
        (folder / "d" / name).write_text("")
    executor.rm(f"{folder}/d/*.txt")
    assert os.listdir(folder / "d") == ["c"]
    executor.rm(f"{folder}/d", recursive=True)
    assert os.listdir(folder) == []


def test_folders_are_made_only_on_request(server: ServerProcess, folder: Path) -> None:
    fs = fsspec.filesystem("exec", url=server.url, sandbox=SandboxContext.disabled())
    with pytest.raises(FileNotFoundError):
        fs.pipe_file(f"{folder}/d/f", b"")
    with pytest.raises(FileNotFoundError):
        fs.open(f"{folder}/d/f", "wb")
    fs.mkdir(f"{folder}/a/b")
    with pytest.raises(FileExistsError):
        fs.makedirs(f"{folder}/a/b")
    fs.makedirs(f"{folder}/a/b", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.mkdir(f"{folder}/c/d", create_parents=False)
    fs.close()


def test_a_policy_confines_it(server: ServerProcess, folder: Path) -> None:
    fs = fsspec.filesystem("exec", url=server.url, sandbox=SandboxContext.read_only())
    with pytest.raises(OSError, match="Read-only file system"):
        fs.pipe_file(f"{folder}/f", b"x")
    with pytest.raises(OSError, match="Read-only file system"):
        fs.open(f"{folder}/f", "wb")
    fs.close()


# ------------------------------------------------------------------ life


async def test_it_can_be_used_on_a_loop_of_one_s_own(server: ServerProcess, folder: Path) -> None:
    fs = ExecFileSystem(server.url, asynchronous=True, skip_instance_cache=True)
    await fs._pipe_file(f"{folder}/f", b"12345")
    contents: Any = await asyncio.gather(*(fs._cat_file(f"{folder}/f", n) for n in range(5)))
    assert contents == [b"12345", b"2345", b"345", b"45", b"5"]
    file = await fs.open_async(f"{folder}/f")
    async with file:
        assert await file.read(2) == b"12"  # type: ignore[union-attr]
    await fs._aclose()


def test_it_goes_to_another_process_and_connects_there(server: ServerProcess, folder: Path) -> None:
    (folder / "f").write_text("x")
    fs = ExecFileSystem(server.url, skip_instance_cache=True)
    again: ExecFileSystem = pickle.loads(pickle.dumps(fs))
    assert again.cat_file(f"{folder}/f") == b"x"
    for one in (fs, again):
        one.close()


def test_no_file_stays_open_when_a_block_fails(executor: ExecFileSystem, folder: Path) -> None:
    """An executor has room for 128."""

    def fail(mode: str) -> None:
        with executor.open(f"{folder}/f", mode):
            raise ZeroDivisionError

    for _ in range(70):
        for mode in ("wb", "rb"):
            with pytest.raises(ZeroDivisionError):
                fail(mode)


def test_a_file_that_fsspec_refuses_does_not_stay_open(
    executor: ExecFileSystem, folder: Path
) -> None:
    (folder / "f").write_bytes(b"x")
    with pytest.raises(KeyError) as caught:
        executor.open(f"{folder}/f", "rb", cache_type="unknown")
    seen = [value for frame, _ in walk_tb(caught.tb) for value in frame.f_locals.values()]
    (file,) = {id(value): value for value in seen if isinstance(value, ExecFile)}.values()
    assert file._reader is not None
    assert file._reader.closed


@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_dropped_files_end_where_the_collector_finds_them(
    executor: ExecFileSystem, folder: Path, mode: str
) -> None:
    """That may be the thread of fsspec's loop, in which nothing may wait for the loop."""
    executor.touch(f"{folder}/f")

    async def collect() -> None:
        gc.collect()

    gc.disable()
    try:
        for number in range(200):
            file = executor.open(f"{folder}/{'f' if mode == 'rb' else number}", mode)
            if mode == "wb":
                file.write(b"%d" % number)
            file.cycle = file
            del file
            if number % 20 == 19:
                sync(executor.loop, collect)
    finally:
        gc.enable()
    assert executor.cat_file(f"{folder}/f") == b""
    if mode == "wb":
        wait(list(executor._ending), timeout=30)
        assert {f"{n}": b"%d" % n for n in range(200)} == {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name != "f"
        }
        executor.open(f"{folder}/at once", "wb").write(b"x")
        assert (folder / "at once").read_bytes() == b"x"
