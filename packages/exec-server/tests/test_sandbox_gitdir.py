"""Where a ``.git`` file points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.gitdir import git_folders


def folders(path: Path) -> list[str]:
    return [os.path.normpath(os.fsdecode(folder)) for folder in git_folders(os.fsencode(path))]


def test_a_linked_work_tree_has_a_folder_and_a_common_one(tmp_path: Path) -> None:
    own = tmp_path / "repository/.git/worktrees/tree"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text(f"gitdir: {own}\n")
    assert folders(tmp_path / "tree/.git") == [str(own), str(tmp_path / "repository/.git")]


def test_a_submodule_points_beside_itself(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: ../.git/modules/x\n")
    assert folders(tmp_path / ".git") == [str(tmp_path.parent / ".git/modules/x")]


@pytest.mark.parametrize("text", ["", "something else", "gitdir", "\0\xff"])
def test_other_files_point_nowhere(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text, encoding="latin-1")
    assert folders(tmp_path / ".git") == []


def test_a_fifo_and_nothing_point_nowhere(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".git")
    assert folders(tmp_path / ".git") == []
    assert folders(tmp_path / "missing") == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".git").symlink_to("elsewhere")
    with pytest.raises(PolicyNotEnforceableError):
        folders(tmp_path / ".git")
