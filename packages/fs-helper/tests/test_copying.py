"""Files and trees copied."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fs_helper.errors import errno_text

Ask = Callable[..., Any]


@pytest.fixture
def copy(ask: Ask) -> Callable[..., Any]:
    def copy(source: Path | bytes, destination: Path | bytes, recursive: bool = False) -> Any:
        return ask("fs/copy", sourcePath=source, destinationPath=destination, recursive=recursive)

    return copy


@pytest.fixture
def refuses(fails: Callable[..., str]) -> Callable[..., str]:
    def refuses(
        code: int, source: Path | bytes, destination: Path | bytes, recursive: bool = False
    ) -> str:
        return fails(
            code, "fs/copy", sourcePath=source, destinationPath=destination, recursive=recursive
        )

    return refuses


@pytest.mark.parametrize("kernel", [True, False])
def test_a_file_is_copied_with_its_mode_but_not_its_time(
    copy: Callable[..., Any], tmp_path: Path, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    source = tmp_path / "src"
    source.write_bytes(random.Random(1).randbytes(700_001))
    source.chmod(0o4751)
    os.utime(source, (1, 1))
    (tmp_path / "dst").write_text("longer " * 200_000)
    inode = (tmp_path / "dst").stat().st_ino
    for name in ("dst", "fresh"):
        assert copy(source, tmp_path / name) == {}
        assert (tmp_path / name).read_bytes() == source.read_bytes()
        status = (tmp_path / name).stat()
        assert stat.S_IMODE(status.st_mode) == 0o4751
        assert status.st_mtime > 1
    assert (tmp_path / "dst").stat().st_ino == inode
    (tmp_path / "link").symlink_to("through")
    copy(source, tmp_path / "link")
    assert (tmp_path / "through").read_bytes() == source.read_bytes()


def test_a_file_without_a_known_size_is_copied_whole(
    copy: Callable[..., Any], tmp_path: Path
) -> None:
    copy(b"/proc/self/status", tmp_path / "status")
    assert (tmp_path / "status").read_bytes().startswith(b"Name:")
    copy(b"/proc/self/status", b"/dev/null")
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) & 0o666 == 0o666


def test_a_file_is_never_copied_onto_itself(refuses: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("precious")
    (tmp_path / "link").symlink_to("d/f")
    (tmp_path / "to-d").symlink_to("d")
    os.link(tmp_path / "d/f", tmp_path / "hard")
    for name in ("d/f", "link", "hard", "to-d/f"):
        refuses(-32600, tmp_path / "d/f", tmp_path / name)
        assert (tmp_path / "d/f").read_text() == "precious"
    refuses(-32600, tmp_path / "hard", tmp_path / "d/f", True)
    assert (tmp_path / "d/f").read_text() == "precious"


def test_a_link_is_copied_as_it_is(
    copy: Callable[..., Any], refuses: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    for name, target in (("broken", "some/where"), ("loop", "loop"), ("to-d", "d")):
        (tmp_path / name).symlink_to(target)
        for recursive in (True, False):
            copy(tmp_path / name, tmp_path / f"copy-{name}-{recursive}", recursive)
            assert os.readlink(tmp_path / f"copy-{name}-{recursive}") == target
    assert refuses(-32603, tmp_path / "broken", tmp_path / "d") == errno_text(errno.EEXIST)
    copy(tmp_path / "to-d", tmp_path / "d/inside", True)
    assert os.readlink(tmp_path / "d/inside") == "d"


def test_what_cannot_be_copied_is_refused(refuses: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    refuses(-32600, tmp_path / "d", tmp_path / "x")
    refuses(-32600, tmp_path / "fifo", tmp_path / "x")
    refuses(-32600, b"/dev/null", tmp_path / "x", True)
    refuses(-32004, tmp_path / "none", tmp_path / "x", True)
    refuses(-32004, tmp_path / "f", tmp_path / "no/parent")
    assert refuses(-32603, tmp_path / "f", tmp_path / "d") == errno_text(errno.EISDIR)
    assert refuses(-32603, tmp_path / "f", tmp_path / "fifo") == errno_text(errno.ENXIO)
    assert refuses(-32603, tmp_path / "d", tmp_path / "f", True) == errno_text(errno.EEXIST)
    assert refuses(-32603, tmp_path / "d", tmp_path / "f/x", True) == errno_text(errno.ENOTDIR)
    assert not (tmp_path / "x").exists()


def test_a_tree_is_copied_and_special_files_in_it_are_not(
    copy: Callable[..., Any], tmp_path: Path
) -> None:
    source, destination = tmp_path / "src", tmp_path / "new/parents/dst"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/f").write_text("f")
    (source / "a/run").write_text("r")
    (source / "a/run").chmod(0o755)
    (source / "link").symlink_to("a/b/f")
    (source / "broken").symlink_to("none")
    os.mkfifo(source / "fifo")
    Path(os.fsdecode(os.fsencode(source) + b"/\xff")).write_text("bytes")
    copy(source, destination, True)
    assert (destination / "a/b/f").read_text() == "f"
    assert stat.S_IMODE((destination / "a/run").stat().st_mode) == 0o755
    assert os.readlink(destination / "link") == "a/b/f"
    assert os.readlink(destination / "broken") == "none"
    assert not (destination / "fifo").exists()
    assert Path(os.fsdecode(os.fsencode(destination) + b"/\xff")).read_text() == "bytes"


def test_a_tree_is_merged_into_a_directory_that_is_there(
    copy: Callable[..., Any], refuses: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/sub/f").write_text("new")
    (tmp_path / "dst/sub").mkdir(parents=True)
    (tmp_path / "dst/sub/f").write_text("old")
    (tmp_path / "dst/sub/extra").write_text("kept")
    (tmp_path / "to-dst").symlink_to("dst")
    copy(tmp_path / "src", tmp_path / "to-dst", True)
    assert (tmp_path / "dst/sub/f").read_text() == "new"
    assert (tmp_path / "dst/sub/extra").read_text() == "kept"
    (tmp_path / "src/link").symlink_to("sub")
    copy(tmp_path / "src", tmp_path / "dst", True)
    assert refuses(-32603, tmp_path / "src", tmp_path / "dst", True) == errno_text(errno.EEXIST)


def test_a_directory_is_not_copied_into_itself(refuses: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "src/a").mkdir(parents=True)
    (tmp_path / "to-src").symlink_to("src")
    for name in ("src", "src/a", "src/a/new/er", "src/new", "to-src", "to-src/new", "to-src/a/x"):
        refuses(-32600, tmp_path / "src", tmp_path / name, True)
    assert os.listdir(tmp_path / "src") == ["a"]
    assert os.listdir(tmp_path / "src/a") == []


def test_a_name_that_only_looks_alike_is_somewhere_else(
    copy: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/f").write_text("x")
    copy(tmp_path / "src", tmp_path / "src2", True)
    assert (tmp_path / "src2/f").read_text() == "x"


def test_an_unreadable_source_leaves_the_destination_alone(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    public_path.chmod(0o777)
    (public_path / "closed").write_text("secret")
    (public_path / "closed").chmod(0)
    (public_path / "dst").write_text("old")
    (public_path / "dst").chmod(0o666)
    answer = as_nobody(
        lambda: ask(
            "fs/copy",
            sourcePath=public_path / "closed",
            destinationPath=public_path / "dst",
            recursive=False,
        )
    )
    assert answer == {"code": -32600, "message": errno_text(errno.EACCES)}
    assert (public_path / "dst").read_text() == "old"
