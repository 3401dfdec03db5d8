"""Renaming, within a file system and between two."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fs_helper.errors import errno_text

Ask = Callable[..., Any]


@pytest.fixture(params=["renameat2", "link"])
def move(ask: Ask, request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "link":
        patch = request.getfixturevalue("monkeypatch")
        patch.setattr("fs_helper.moving.rename_no_replace", lambda source, destination: None)

    def move(source: Path, destination: Path, **more: Any) -> Any:
        return ask("fs/move", sourcePath=source, destinationPath=destination, **more)

    return move


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    place = Path("/dev/shm")
    if not place.is_dir() or place.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to")
    import tempfile

    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


def test_files_links_and_trees_are_renamed(move: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("nothing")
    os.mkfifo(tmp_path / "fifo")
    inodes = {name: (tmp_path / name).lstat().st_ino for name in ("f", "d", "link", "fifo")}
    for name, inode in inodes.items():
        assert move(tmp_path / name, tmp_path / f"new-{name}") == {}
        assert (tmp_path / f"new-{name}").lstat().st_ino == inode
    assert sorted(os.listdir(tmp_path)) == ["new-d", "new-f", "new-fifo", "new-link"]


def test_nothing_is_replaced_unless_asked_for(
    move: Callable[..., Any], fails: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("f", "g"):
        (tmp_path / name).write_text(name)
    (tmp_path / "d").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").symlink_to("nothing")
    os.link(tmp_path / "f", tmp_path / "hard")
    for source in ("f", "d"):
        for destination in ("g", "empty", "broken", "hard", source):
            message = fails(
                -32603,
                "fs/move",
                sourcePath=tmp_path / source,
                destinationPath=tmp_path / destination,
            )
            assert message == errno_text(errno.EEXIST)
    assert sorted(os.listdir(tmp_path)) == ["broken", "d", "empty", "f", "g", "hard"]
    assert move(tmp_path / "f", tmp_path / "g", overwrite=True) == {}
    assert (tmp_path / "g").read_text() == "f"
    assert not (tmp_path / "f").exists()


def test_moving_one_name_of_a_file_onto_another_leaves_one(
    move: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    os.link(tmp_path / "f", tmp_path / "hard")
    move(tmp_path / "f", tmp_path / "hard", overwrite=True)
    assert os.listdir(tmp_path) == ["hard"]
    (tmp_path / "alias").symlink_to(tmp_path)
    move(tmp_path / "hard", tmp_path / "alias/hard", overwrite=True)
    assert (tmp_path / "hard").read_text() == "x"


def test_impossible_moves_change_nothing(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "f").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")

    def refuse(code: int, source: str, destination: str, **more: Any) -> None:
        fails(
            code,
            "fs/move",
            sourcePath=tmp_path / source,
            destinationPath=tmp_path / destination,
            **more,
        )

    refuse(-32004, "none", "x")
    refuse(-32004, "f", "no/parent")
    refuse(-32600, "d", "d/sub/x")
    for overwrite in (True, False):
        refuse(-32603, "f", "d", overwrite=overwrite)
        refuse(-32603, "d", "f", overwrite=overwrite)
        refuse(-32603, "d", "full", overwrite=overwrite)
    assert sorted(os.listdir(tmp_path)) == ["d", "f", "full"]


def test_a_file_moves_to_another_file_system(
    move: Callable[..., Any], tmp_path: Path, other_file_system: Path
) -> None:
    source, destination = tmp_path / "f", other_file_system / "f"
    source.write_bytes(b"x" * 500_000)
    if os.getuid() == 0:
        os.chown(source, 1234, 2345)
    source.chmod(0o4751)
    os.utime(source, (1_600_000_000.5, 1_600_000_001.5))
    before = source.stat()
    assert move(source, destination) == {}
    after = destination.stat()
    assert not source.exists()
    assert destination.read_bytes() == b"x" * 500_000
    for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
        assert getattr(before, field) == getattr(after, field)
    assert os.listdir(other_file_system) == ["f"]


def test_a_tree_moves_to_another_file_system(
    move: Callable[..., Any], tmp_path: Path, other_file_system: Path
) -> None:
    source, destination = tmp_path / "d", other_file_system / "d"
    (source / "a/b").mkdir(parents=True)
    (source / "a/f").write_text("f")
    (source / "broken").symlink_to("nothing")
    os.utime(source / "a", (5, 5))
    (source / "a").chmod(0o700)
    move(source, destination)
    assert not source.exists()
    assert (destination / "a/f").read_text() == "f"
    assert (destination / "a/b").is_dir()
    assert os.readlink(destination / "broken") == "nothing"
    assert (destination / "a").stat().st_mtime == 5
    assert stat.S_IMODE((destination / "a").stat().st_mode) == 0o700
    assert os.listdir(other_file_system) == ["d"]


def test_between_file_systems_nothing_is_replaced_or_lost(
    move: Callable[..., Any],
    fails: Callable[..., str],
    tmp_path: Path,
    other_file_system: Path,
) -> None:
    (tmp_path / "f").write_text("new")
    (other_file_system / "f").write_text("old")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/g").write_text("x")
    os.mkfifo(tmp_path / "d/fifo")
    there = other_file_system / "f"
    assert fails(-32603, "fs/move", sourcePath=tmp_path / "f", destinationPath=there) == errno_text(
        errno.EEXIST
    )
    assert there.read_text() == "old"
    destination = other_file_system / "d"
    fails(-32600, "fs/move", sourcePath=tmp_path / "d", destinationPath=destination)
    (other_file_system / "full").mkdir()
    (other_file_system / "full/x").touch()
    fails(
        -32603,
        "fs/move",
        sourcePath=tmp_path / "f",
        destinationPath=other_file_system / "full",
        overwrite=True,
    )
    assert sorted(os.listdir(other_file_system)) == ["f", "full"]
    assert sorted(os.listdir(tmp_path / "d")) == ["fifo", "g"]
    move(tmp_path / "f", there, overwrite=True)
    assert there.read_text() == "new"
    assert not (tmp_path / "f").exists()
