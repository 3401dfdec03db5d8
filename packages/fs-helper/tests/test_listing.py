"""Directories listed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exec_server_protocol.helper import FrameKind
from fs_helper.errors import errno_text

Ask = Callable[..., Any]


def listed(answer: Any) -> dict[str, tuple[bool, bool]]:
    entries = answer["entries"]
    found = {entry["fileName"]: (entry["isDirectory"], entry["isFile"]) for entry in entries}
    assert len(found) == len(entries)
    return found


def test_flags_are_those_of_the_target_and_broken_links_are_left_out(
    ask: Ask, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / 'f "ü\n').write_text("x")
    (tmp_path / "to-file").symlink_to('f "ü\n')
    (tmp_path / "to-dir").symlink_to("d")
    (tmp_path / "broken").symlink_to("none")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", 0o600 | stat.S_IFSOCK)
    expected = {
        "d": (True, False),
        ".hidden": (False, True),
        'f "ü\n': (False, True),
        "to-file": (False, True),
        "to-dir": (True, False),
        "fifo": (False, False),
        "socket": (False, False),
    }
    assert listed(ask("fs/readDirectory", path=tmp_path)) == expected
    (tmp_path / "link").symlink_to(tmp_path)
    assert listed(ask("fs/readDirectory", path=tmp_path / "link")) == {
        **expected,
        "link": (True, False),
    }
    assert ask("fs/readDirectory", path=tmp_path / "d") == {"entries": []}


def test_names_that_are_not_utf8_are_shown_with_replacements(ask: Ask, tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/a\xffb")
    assert listed(ask("fs/readDirectory", path=tmp_path)) == {"a�b": (True, False)}


def test_a_large_directory_comes_in_pieces(ask: Any, tmp_path: Path) -> None:
    names = {f"{number:05}-{'ü' * 100}" for number in range(1500)}
    for name in names:
        (tmp_path / name).touch()
    assert set(listed(ask("fs/readDirectory", path=tmp_path))) == names
    assert [frame.kind for frame in ask.frames][:2] == [FrameKind.RESULT_PART] * 2
    assert all(frame.payload.isascii() for frame in ask.frames)


def test_what_is_no_directory_cannot_be_listed(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "to-f").symlink_to("f")
    os.mkfifo(tmp_path / "fifo")
    for name in ("f", "to-f", "fifo", "f/x"):
        message = fails(-32603, "fs/readDirectory", path=tmp_path / name)
        assert message == errno_text(errno.ENOTDIR)
    fails(-32004, "fs/readDirectory", path=tmp_path / "none")


def test_permissions_of_a_directory_decide_what_is_shown(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    for name, mode in (("readable", 0o744), ("closed", 0o711)):
        (public_path / name).mkdir()
        (public_path / name / "f").write_text("x")
        (public_path / name).chmod(mode)
    assert as_nobody(lambda: ask("fs/readDirectory", path=public_path / "readable")) == {
        "entries": []
    }
    assert as_nobody(lambda: ask("fs/readDirectory", path=public_path / "closed")) == {
        "code": -32600,
        "message": errno_text(errno.EACCES),
    }
