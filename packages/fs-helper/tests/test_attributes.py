"""Permission bits, owner, times, links; making files that must not be there; locks; holes."""

from __future__ import annotations

import base64
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
Fails = Callable[..., str]

DAY_MS = 86_400_000


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def _umask() -> Any:
    old = os.umask(0o022)
    yield
    os.umask(old)


# ---------------------------------------------------------------- whole files


@pytest.mark.parametrize("atomic", [True, False])
def test_a_new_file_has_the_bits_asked_for_and_an_old_one_keeps_its_own(
    ask: Ask, tmp_path: Path, atomic: bool
) -> None:
    there = tmp_path / "there"
    there.write_text("old")
    there.chmod(0o640)
    for name in ("new", "there"):
        ask("fs/writeFile", path=tmp_path / name, dataBase64=b"n", atomic=atomic, createMode=0o777)
    assert (mode_of(tmp_path / "new"), mode_of(there)) == (0o777, 0o640)
    ask("fs/writeFile", path=there, dataBase64=b"n", atomic=atomic, fileMode=0o600)
    assert mode_of(there) == 0o600


@pytest.mark.parametrize("atomic", [True, False])
def test_a_file_gets_the_time_asked_for(ask: Ask, tmp_path: Path, atomic: bool) -> None:
    write = {"path": tmp_path / "f", "dataBase64": b"n", "atomic": atomic}
    ask("fs/writeFile", **write, modifiedAtMs=DAY_MS + 7)
    assert (tmp_path / "f").stat().st_mtime_ns == (DAY_MS + 7) * 1_000_000


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("flush", [True, False])
def test_an_exclusive_write_makes_a_file_and_replaces_none(
    ask: Ask, fails: Fails, tmp_path: Path, atomic: bool, flush: bool
) -> None:
    (tmp_path / "nowhere").symlink_to("missing")
    write = {"dataBase64": b"new", "exclusive": True, "atomic": atomic, "flush": flush}
    ask("fs/writeFile", path=tmp_path / "f", **write)
    for name in ("f", "nowhere"):
        message = fails(-32603, "fs/writeFile", path=tmp_path / name, **write)
        assert f"os error {errno.EEXIST}" in message
    assert sorted(os.listdir(tmp_path)) == ["f", "nowhere"]
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_write_without_a_flush_replaces_all_the_same(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "link").symlink_to("f")
    ask("fs/writeFile", path=tmp_path / "link", dataBase64=b"new", atomic=True, flush=False)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "f").read_text() == "new"


# ---------------------------------------------------------------- folders, moves


def test_a_folder_is_made_with_the_bits_asked_for_its_parents_with_the_usual_ones(
    ask: Ask, tmp_path: Path
) -> None:
    ask("fs/createDirectory", path=tmp_path / "a/b", recursive=True, createMode=0o700)
    ask("fs/createDirectory", path=tmp_path / "c", recursive=False, createMode=0o777)
    modes = [mode_of(tmp_path / name) for name in ("a", "a/b", "c")]
    assert modes == [0o755, 0o700, 0o777]
    ask("fs/createDirectory", path=tmp_path / "a/b", recursive=True, createMode=0o777)
    assert mode_of(tmp_path / "a/b") == 0o700


def test_a_moved_file_takes_over_what_it_replaces(ask: Ask, tmp_path: Path) -> None:
    part, there = tmp_path / "part", tmp_path / "there"
    there.write_text("old")
    there.chmod(0o751)
    if os.getuid() == 0:
        os.chown(there, 1234, 1234)
    move = {"sourcePath": part, "destinationPath": there, "overwrite": True}
    part.write_text("new")
    ask("fs/move", **move, keepAttributes=True, createMode=0o600, modifiedAtMs=DAY_MS)
    assert (there.read_text(), mode_of(there)) == ("new", 0o751)
    assert there.stat().st_mtime_ns == DAY_MS * 1_000_000
    if os.getuid() == 0:
        assert there.stat().st_uid == 1234
    part.write_text("again")
    ask("fs/move", **move, keepAttributes=True, fileMode=0o640)
    assert mode_of(there) == 0o640
    part.write_text("new")
    fresh = {**move, "destinationPath": tmp_path / "fresh"}
    ask("fs/move", **fresh, keepAttributes=True, createMode=0o705)
    assert mode_of(tmp_path / "fresh") == 0o705


# ---------------------------------------------------------------- metadata


def test_bits_and_times_are_set_and_told(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    ask("fs/setMetadata", path=path, fileMode=0o4711, modifiedAtMs=DAY_MS, accessedAtMs=5)
    assert (mode_of(path), path.stat().st_mtime, path.stat().st_atime) == (0o4711, 86400, 0.005)
    ask("fs/setMetadata", path=path, now=True)
    assert path.stat().st_mtime > DAY_MS
    told = ask("fs/getMetadata", path=path, details="target")
    assert (told["fileMode"], told["userId"], told["groupId"]) == (
        0o4711,
        path.stat().st_uid,
        path.stat().st_gid,
    )
    assert "fileMode" not in ask("fs/getMetadata", path=path)


def test_bits_of_a_link_are_those_of_its_target_unless_links_are_refused(
    ask: Ask, fails: Fails, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "link").symlink_to("f")
    ask("fs/setMetadata", path=tmp_path / "link", fileMode=0o600)
    assert mode_of(tmp_path / "f") == 0o600
    fails(-32600, "fs/setMetadata", path=tmp_path / "link", fileMode=0o777, followSymlinks=False)
    ask("fs/setMetadata", path=tmp_path / "f", fileMode=0o640, followSymlinks=False)
    assert mode_of(tmp_path / "f") == 0o640


def test_nonsense_is_refused(ask: Ask, fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    fails(-32602, "fs/setMetadata", path=tmp_path / "f", fileMode=0o10000)
    fails(-32602, "fs/setMetadata", path=tmp_path / "f", fileMode=-1)
    fails(-32600, "fs/setMetadata", path=tmp_path / "f", modifiedAtMs=2**64 - 1)
    fails(-32602, "fs/getMetadata", path=tmp_path / "f", details="all")
    fails(-32602, "fs/createSymlink", path=tmp_path / "l", targetBase64="?")
    fails(-32600, "fs/createSymlink", path=tmp_path / "l", targetBase64="")
    fails(-32600, "fs/createSymlink", path=tmp_path / "l", targetBase64="AA==")
    assert os.listdir(tmp_path) == ["f"]


# ---------------------------------------------------------------- links and listings


def test_a_link_says_what_it_was_told_to_byte_for_byte(
    ask: Ask, fails: Fails, tmp_path: Path
) -> None:
    said = base64.b64encode(b"no/such/\xff").decode()
    ask("fs/createSymlink", path=tmp_path / "l", targetBase64=said)
    assert os.readlink(os.fsencode(tmp_path / "l")) == b"no/such/\xff"
    assert ask("fs/readLink", path=tmp_path / "l") == {"targetBase64": said}
    fails(-32603, "fs/createSymlink", path=tmp_path / "l", targetBase64="Zg==")
    ask("fs/createSymlink", path=tmp_path / "l", targetBase64="Zg==", overwrite=True)
    assert os.readlink(tmp_path / "l") == "f"
    (tmp_path / "d").mkdir()
    assert "(os error 21)" in fails(
        -32603, "fs/createSymlink", path=tmp_path / "d", targetBase64="Zg==", overwrite=True
    )
    assert sorted(os.listdir(tmp_path)) == ["d", "l"]
    fails(-32600, "fs/readLink", path=tmp_path / "d")


def test_a_detailed_listing_shows_everything(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("four")
    (tmp_path / "f").chmod(0o640)
    os.utime(tmp_path / "f", (1, 7))
    (tmp_path / "d").mkdir()
    (tmp_path / "nothing").symlink_to("no/such")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "to-f").symlink_to("f")
    os.mkfifo(tmp_path / "fifo")
    raw = os.path.join(os.fsencode(tmp_path), b"\xff\xfe")
    os.close(os.open(raw, os.O_CREAT | os.O_WRONLY))
    listed = ask("fs/readDirectory", path=tmp_path, details=True)["entries"]
    found = {entry["fileName"]: entry for entry in listed}
    assert found.pop("f") == {
        "fileName": "f", "isDirectory": False, "isFile": True, "isSymlink": False,
        "size": 4, "modifiedAtMs": 7000, "fileMode": 0o640,
    }  # fmt: skip
    kinds = {
        name: (entry["isDirectory"], entry["isFile"], entry["isSymlink"])
        for name, entry in found.items()
    }
    assert kinds == {
        "d": (True, False, False),
        "nothing": (False, False, True),
        "circle": (False, False, True),
        "to-f": (False, True, True),
        "fifo": (False, False, False),
        "\ufffd\ufffd": (False, True, False),
    }
    assert found["\ufffd\ufffd"]["nameBase64"] == base64.b64encode(b"\xff\xfe").decode()
    link = ask("fs/getMetadata", path=tmp_path / "nothing", details="link")
    assert (link["isSymlink"], link["isFile"], link["size"]) == (True, False, len("no/such"))


# ---------------------------------------------------------------- open files


def test_create_makes_a_file_and_modify_and_append_go_on_with_one(
    ask: Ask, fails: Fails, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    ask("fs/open", handleId="c", path=path, mode="create", createMode=0o600)
    ask("fs/writeBlock", handleId="c", offset=0, chunk=b"abc")
    assert mode_of(path) == 0o600
    assert "(os error 17)" in fails(-32603, "fs/open", handleId="d", path=path, mode="create")
    ask("fs/open", handleId="a", path=path, mode="extend")
    ask("fs/writeBlock", handleId="a", offset=0, chunk=b"def")
    ask("fs/open", handleId="m", path=path, mode="modify")
    ask("fs/writeBlock", handleId="m", offset=1, chunk=b"B")
    block = ask("fs/readBlock", handleId="m", offset=0, len=9)
    assert base64.b64decode(block["chunk"]) == path.read_bytes() == b"aBcdef"
    fails(-32004, "fs/open", handleId="n", path=tmp_path / "none", mode="modify")
    assert "(os error 9)" in fails(-32603, "fs/readBlock", handleId="a", offset=0, len=1)
    ask("fs/writeBlock", handleId="a", offset=0, chunk=b"g")


def test_a_lock_is_for_one_handle_and_goes_with_it(ask: Ask, fails: Fails, tmp_path: Path) -> None:
    open_ = {"path": tmp_path / "f", "mode": "update", "lock": True}
    ask("fs/open", handleId="one", **open_)
    assert f"(os error {errno.EAGAIN})" in fails(-32603, "fs/open", handleId="two", **open_)
    ask("fs/open", handleId="plain", path=tmp_path / "f", mode="update")
    (tmp_path / "f").rename(tmp_path / "moved")
    ask("fs/open", handleId="three", **open_)
    ask("fs/close", handleId="one")
    ask("fs/close", handleId="three")
    ask("fs/open", handleId="two", **open_)


# ---------------------------------------------------------------- copies


def test_an_atomic_copy_replaces_and_says_what_it_left_out(ask: Ask, tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    target.mkdir()
    (source / "f").write_text("new")
    (source / "f").chmod(0o640)
    (source / "l").symlink_to("f")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "sock"))
    (target / "f").write_text("old")
    (target / "other").hardlink_to(target / "f")
    (target / "l").symlink_to("elsewhere")
    copy = {"sourcePath": source, "destinationPath": target, "recursive": True}
    result = ask("fs/copy", **copy, atomic=True, listSkipped=True)
    assert sorted(result["skipped"]) == [f"file://{source}/fifo", f"file://{source}/sock"]
    assert (target / "f").read_text() == "new"
    assert (target / "other").read_text() == "old"
    assert os.readlink(target / "l") == "f"
    assert mode_of(target / "f") == 0o640
    assert sorted(os.listdir(target)) == ["f", "l", "other"]


def test_a_copy_that_follows_links_ends_at_a_circle_only(ask: Ask, tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "releases/2").mkdir(parents=True)
    (source / "releases/2/app").write_text("2")
    (source / "current").symlink_to("releases/2")
    (source / "releases/up").symlink_to("..")
    copy = {"sourcePath": source, "destinationPath": tmp_path / "t", "recursive": True}
    result = ask("fs/copy", **copy, followSymlinks=True, listSkipped=True)
    assert result["skipped"] == [f"file://{source}/releases/up"]
    for name in ("current/app", "releases/2/app"):
        assert (tmp_path / "t" / name).read_text() == "2"
    assert not (tmp_path / "t/current").is_symlink()


@pytest.mark.parametrize("data", [b"", b"at the end"])
def test_a_copy_of_a_file_with_holes_has_holes(ask: Ask, tmp_path: Path, data: bytes) -> None:
    source, copies = tmp_path / "s", [tmp_path / "a", tmp_path / "b"]
    size = 64 * 1024 * 1024
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(size // 2)
        file.write(b"middle")
        file.seek(size - len(data))
        file.write(data)
        file.truncate(size)
    if source.stat().st_blocks * 512 > size // 2:
        pytest.skip("a file system without holes")
    for copy, atomic in zip(copies, (True, False), strict=True):
        ask("fs/copy", sourcePath=source, destinationPath=copy, recursive=False, atomic=atomic)
        assert copy.stat().st_blocks * 512 < size // 8
        assert copy.read_bytes() == source.read_bytes()
