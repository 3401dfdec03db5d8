"""Directories made and trees removed."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fs_helper.errors import OperationError, errno_text
from fs_helper.tree import make_directories

Ask = Callable[..., Any]
NO = {"followSymlinks": False}


def test_parents_are_made_unless_told_otherwise(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    assert ask("fs/createDirectory", path=tmp_path / "a/b/c") == {}
    assert ask("fs/createDirectory", path=tmp_path / "a/b/c", recursive=None) == {}
    assert (tmp_path / "a/b/c").is_dir()
    assert ask("fs/createDirectory", path=b"/") == {}
    (tmp_path / "to-a").symlink_to("a")
    assert ask("fs/createDirectory", path=tmp_path / "to-a") == {}
    assert ask("fs/createDirectory", path=tmp_path / "to-a/x/y") == {}
    assert (tmp_path / "a/x/y").is_dir()
    one = {"recursive": False}
    assert fails(-32603, "fs/createDirectory", path=tmp_path / "a", **one) == errno_text(
        errno.EEXIST
    )
    fails(-32004, "fs/createDirectory", path=tmp_path / "no/parent", **one)
    assert ask("fs/createDirectory", path=tmp_path / "single", **one) == {}


def test_something_else_in_the_way_of_a_directory(
    fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "to-f").symlink_to("f")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("f", "to-f", "broken", "broken/x", "f/x", "f/x/y", "loop/x"):
        fails(-32603, "fs/createDirectory", path=tmp_path / name)
    assert not (tmp_path / "nothing").exists()


def test_directories_are_made_without_following_links(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "f").write_text("x")
    for name in ("link", "link/x", "f", "f/x"):
        message = fails(-32603, "fs/createDirectory", path=tmp_path / name, **NO)
        assert message == errno_text(errno.ENOTDIR)
    for name in ("link", "f", "real"):
        path = tmp_path / name
        message = fails(-32603, "fs/createDirectory", path=path, recursive=False, **NO)
        assert message == errno_text(errno.EEXIST)
    fails(-32603, "fs/createDirectory", path=b"/", recursive=False, **NO)
    assert ask("fs/createDirectory", path=b"/", **NO) == {}
    assert ask("fs/createDirectory", path=tmp_path / "real/n1/n2", **NO) == {}
    assert ask("fs/createDirectory", path=tmp_path / "real/n3", recursive=False, **NO) == {}
    assert sorted(os.listdir(tmp_path / "real")) == ["n1", "n3"]


@pytest.mark.parametrize("follow", [True, False])
def test_several_may_make_the_same_directories_at_once(
    ask: Ask, tmp_path: Path, follow: bool
) -> None:
    barrier = threading.Barrier(16)
    failures: list[OSError] = []
    path = tmp_path / "/".join("abcdefgh")

    def make() -> None:
        from fs_helper.nofollow import open_directory, split

        barrier.wait(5)
        try:
            if follow:
                make_directories(os.fsencode(path))
            else:
                os.close(open_directory(split(os.fsencode(path)), create=True))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert path.is_dir()


def test_a_tree_is_removed_and_links_lose_only_themselves(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/a/b/f").write_text("x")
    os.mkfifo(tmp_path / "tree/a/fifo")
    os.mkdir(os.fsencode(tmp_path) + b"/tree/\xff")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/keep").write_text("x")
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to("outside")
    fails(-32603, "fs/remove", path=tmp_path / "tree", recursive=False)
    assert ask("fs/remove", path=tmp_path / "tree") == {}
    assert ask("fs/remove", path=(tmp_path / "link").as_uri() + "/") == {}
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["keep"]


def test_only_what_is_missing_may_be_forced(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("none", "none/parent"):
        assert ask("fs/remove", path=tmp_path / name) == {}
        fails(-32004, "fs/remove", path=tmp_path / name, force=False)
    fails(-32603, "fs/remove", path=tmp_path / "f/x")
    assert ask("fs/remove", path=tmp_path / "empty", recursive=False) == {}
    assert ask("fs/remove", path=tmp_path / "f", recursive=False) == {}
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["file:///", "file:///proc%2F.."])
def test_the_root_is_refused_before_anything_is_removed(
    as_nobody: Callable[..., Any], ask: Ask, path: str
) -> None:
    # Without privileges, so that a mistake here costs nothing.
    assert as_nobody(lambda: ask("fs/remove", path=path))["code"] == -32600
    assert as_nobody(lambda: ask("fs/remove", path=path, recursive=False))["code"] == -32600


def test_removing_without_following_takes_one_entry(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "real/f").write_text("x")
    (tmp_path / "dirlink").symlink_to("real")
    (tmp_path / "filelink").symlink_to("real/f")
    one = {"recursive": False, **NO}
    fails(-32603, "fs/remove", path=tmp_path / "real/f", **NO)
    fails(-32603, "fs/remove", path=tmp_path / "none", **NO)
    fails(-32600, "fs/remove", path=tmp_path / "filelink", **one)
    fails(-32603, "fs/remove", path=tmp_path / "dirlink/f", **one)
    fails(-32603, "fs/remove", path=tmp_path / "real", **one)
    fails(-32600, "fs/remove", path=b"/", **one)
    assert sorted(os.listdir(tmp_path / "real")) == ["f", "sub"]
    assert ask("fs/remove", path=tmp_path / "none/x", **one) == {}
    fails(-32004, "fs/remove", path=tmp_path / "none/x", force=False, **one)
    assert ask("fs/remove", path=tmp_path / "real/f", **one) == {}
    assert ask("fs/remove", path=tmp_path / "real/sub", **one) == {}
    assert os.listdir(tmp_path / "real") == []


def test_a_tree_may_be_deeper_than_there_are_descriptors_or_path_lengths(
    ask: Ask, tmp_path: Path
) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _level in range(1500):
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert ask("fs/remove", path=tmp_path / "deep") == {}
    assert os.listdir(tmp_path) == []


def test_a_directory_swapped_for_a_link_is_not_entered(ask: Ask, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(20):
        (outside / f"keep{number}").write_text("x")
    for number in range(150):
        tree = tmp_path / f"tree{number}"
        for name in ("a", "victim", "z"):
            (tree / name).mkdir(parents=True)
            (tree / name / "f").touch()
        barrier = threading.Barrier(2)

        def swap(tree: Path = tree, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(5)
            try:
                os.rename(tree / "victim", tree / "aside")
                os.symlink(outside, tree / "victim")
            except OSError:
                pass  # it was gone already

        thread = threading.Thread(target=swap)
        thread.start()
        barrier.wait(5)
        with suppress(OperationError):  # losing the race is fine, following the link is not
            ask("fs/remove", path=tree)
        thread.join(5)
        assert len(os.listdir(outside)) == 20


def test_a_sticky_entry_of_somebody_else_stays(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    public_path.chmod(0o1777)
    (public_path / "f").write_text("x")
    answer = as_nobody(lambda: ask("fs/remove", path=public_path / "f"))
    assert answer == {"code": -32600, "message": errno_text(errno.EPERM)}
    assert stat.S_ISREG((public_path / "f").stat().st_mode)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_place_where_nothing_can_be_made_is_not_tried_for_ever() -> None:
    with pytest.raises(FileNotFoundError):
        make_directories(b"/proc/none/at/all")
