"""Files without ``async``, on this machine and on an executor."""

from __future__ import annotations

import csv
import io
import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_client import sync
from exec_client.filesystem import TransferProgress
from exec_client.sync.filesystem import FileSystem
from exec_server_protocol import SandboxContext
from exec_testkit.server import ServerProcess

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def local() -> Iterator[FileSystem]:
    with sync.Environment.local() as here:
        yield here.fs


@pytest.fixture(scope="module")
def remote(server: ServerProcess) -> Iterator[FileSystem]:
    with sync.connect(server.url) as client:
        yield client.fs


@pytest.fixture(params=["local", "remote"])
def fs(request: pytest.FixtureRequest) -> FileSystem:
    fs: FileSystem = request.getfixturevalue(request.param)
    return fs


def test_every_call_has_its_twin(fs: FileSystem, folder: Path) -> None:
    fs.mkdir(folder / "a/b", parents=True)
    assert fs.write_bytes(folder / "a/f", b"12") == 2
    assert fs.write_text(folder / "a/b/g", "ä") == 1
    assert fs.read_bytes(folder / "a/f") == b"12"
    assert fs.read_text(folder / "a/b/g") == "ä"
    assert fs.stat(folder / "a/f").size == 2
    assert fs.exists(folder / "a")
    assert fs.is_dir(folder / "a")
    assert fs.is_file(folder / "a/f")
    assert not fs.is_symlink(folder / "a/f")
    assert fs.realpath(folder / "a/../a/f") == str((folder / "a/f").resolve())
    fs.copy(folder / "a/f", folder / "a/h")
    fs.move(folder / "a/h", folder / "a/i")
    assert [item.name for item in fs.iterdir(folder / "a")] == ["b", "f", "i"]
    assert [step.files for step in fs.walk(folder / "a")] == [["f", "i"], ["g"]]
    assert list(fs.glob(f"{folder}/**/g")) == [str(folder / "a/b/g")]
    assert len(fs.scan(folder).items) == 5
    told: list[TransferProgress] = []
    assert fs.upload(folder / "a", folder / "c", progress=told.append).files == 3
    assert fs.download(folder / "c", folder / "d").files == 3
    assert told[-1].done_files == 3
    fs.remove(folder / "a", recursive=True)
    assert not (folder / "a").exists()
    with pytest.raises(FileNotFoundError):
        fs.read_bytes(folder / "a/f")
    with pytest.raises(OSError, match="Read-only"):
        fs.with_sandbox(SandboxContext.read_only()).write_text(folder / "x", "x")


def test_open_files_are_those_that_libraries_take(fs: FileSystem, folder: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    with fs.open(folder / "t.tar", "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        member = tarfile.TarInfo("big")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    with fs.open(folder / "t.tar", "rb") as read, tarfile.open(fileobj=read) as tar:
        big = tar.extractfile("big")
        assert big is not None
        assert big.read() == data
    with fs.open(folder / "t.csv", "w") as text:
        csv.writer(text).writerows([["a", "ö"], [1, 2]])
    assert (folder / "t.csv").read_bytes() == "a,ö\r\n1,2\r\n".encode()
    with fs.open(folder / "t.csv") as text:
        assert list(csv.reader(text)) == [["a", "ö"], ["1", "2"]]


def test_flushing_means_that_it_is_there(fs: FileSystem, folder: Path) -> None:
    with fs.open(folder / "f", "w") as file:
        file.write("one\n")
        file.flush()
        assert (folder / "f").read_text() == "one\n"
        file.write("two\n")
    assert (folder / "f").read_text() == "one\ntwo\n"
    with fs.open(folder / "f", "rb") as binary:
        binary.seek(-4, io.SEEK_END)
        assert binary.readlines() == [b"two\n"]
    with pytest.raises(ValueError, match="mode"):
        fs.open(folder / "f", "w+")  # type: ignore[call-overload]


def test_files_are_opened_as_the_standard_library_opens_them(fs: FileSystem, folder: Path) -> None:
    path = folder / "f"
    with fs.open(path, "x") as new:
        new.write("one\n")
    with pytest.raises(FileExistsError):
        fs.open(path, "xb")
    with fs.open(path, "a") as more:
        more.write("two\n")
    with fs.open(path, "ab") as more_bytes:
        assert more_bytes.tell() == 8
        more_bytes.write(b"three\n")
    assert path.read_text() == "one\ntwo\nthree\n"
    with fs.open(path, "r+b") as both:
        assert both.readline() == b"one\n"
        both.write(b"TWO")
        both.seek(-6, io.SEEK_END)
        assert both.read() == b"three\n"
        both.seek(0)
        both.write(b"O")
        both.flush()
        assert path.read_text() == "One\nTWO\nthree\n"
    with pytest.raises(FileNotFoundError):
        fs.open(folder / "none", "r+b")


def test_permissions_times_and_links_are_set(fs: FileSystem, folder: Path) -> None:
    path = folder / "f"
    fs.touch(path, exist_ok=False, mode=0o600)
    with pytest.raises(FileExistsError):
        fs.touch(path, exist_ok=False)
    fs.chmod(path, 0o751)
    fs.utime(path, (1, 2.5))
    status = fs.stat(path)
    assert (status.mode, status.modified_at, status.uid) == (0o751, 2.5, os.getuid())
    fs.touch(path)
    assert (fs.stat(path).modified_at or 0) > 1e9
    fs.symlink("f", folder / "link")
    fs.symlink("no/such", folder / "nothing")
    assert fs.readlink(folder / "nothing") == "no/such"
    assert fs.lstat(folder / "nothing").is_symlink
    assert fs.is_symlink(folder / "link")
    assert [item.name for item in fs.iterdir(folder)] == ["f", "link", "nothing"]
    assert fs.copy(folder, folder.parent / "copy", recursive=True) == []


def test_a_file_that_outlives_its_client_can_be_closed(server: ServerProcess, folder: Path) -> None:
    with sync.connect(server.url) as client:
        writer = client.fs.open(folder / "f", "wb")
        reader = client.fs.open(folder / "f", "rb")
    reader.close()
    writer.close()
