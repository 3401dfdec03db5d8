"""What is at a path."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.path_uri import PathUri
from fs_helper.errors import errno_text

Ask = Callable[..., Any]
NO = {"followSymlinks": False}


def kinds(answer: Any) -> tuple[bool, bool, bool]:
    return answer["isDirectory"], answer["isFile"], answer["isSymlink"]


def test_every_kind_of_entry_is_described(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"12345")
    (tmp_path / "to-f").symlink_to("f")
    (tmp_path / "to-d").symlink_to("d")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", 0o600 | stat.S_IFSOCK)
    expected = {
        "d": (True, False, False),
        "f": (False, True, False),
        "to-f": (False, True, True),
        "to-d": (True, False, True),
        "fifo": (False, False, False),
        "socket": (False, False, False),
    }
    for name, kind in expected.items():
        assert kinds(ask("fs/getMetadata", path=tmp_path / name)) == kind
        if not kind[2]:
            assert kinds(ask("fs/getMetadata", path=tmp_path / name, **NO)) == kind
    assert ask("fs/getMetadata", path=tmp_path / "to-f")["size"] == 5
    assert kinds(ask("fs/getMetadata", path=b"/dev/null")) == (False, False, False)
    assert kinds(ask("fs/getMetadata", path=b"/")) == (True, False, False)
    assert kinds(ask("fs/getMetadata", path=b"/", **NO)) == (True, False, False)


def test_times_are_milliseconds_and_never_negative(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.touch()
    for seconds, expected in ((1_700_000_001.5, 1_700_000_001_500), (-5, 0), (-0.5, 0), (0, 0)):
        os.utime(file, (seconds, seconds))
        for follow in (True, False):
            answer = ask("fs/getMetadata", path=file, followSymlinks=follow)
            assert answer["modifiedAtMs"] == expected
            assert set(answer) == {
                "isDirectory", "isFile", "isSymlink", "size", "createdAtMs", "modifiedAtMs"
            }  # fmt: skip


def test_the_birth_time_is_the_one_of_the_file_system(ask: Ask, tmp_path: Path) -> None:
    earliest = time.time_ns() // 1_000_000 - 20  # the kernel's clock ticks every few ms
    file = tmp_path / "f"
    file.write_text("x")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    (tmp_path / "link").symlink_to("f")
    shown = subprocess.run(
        ["stat", "-c", "%W", str(file)], capture_output=True, check=True, timeout=5
    ).stdout.strip()
    if shown in (b"0", b"-", b"?"):
        pytest.skip("this file system keeps no birth time")
    for path, more in ((file, {}), (file, NO), (tmp_path / "link", {})):
        created = ask("fs/getMetadata", path=path, **more)["createdAtMs"]
        assert created // 1000 == int(shown)
        assert earliest <= created <= time.time_ns() // 1_000_000 + 20


def test_what_is_not_there_says_so(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    for op in ("fs/getMetadata", "fs/canonicalize"):
        assert fails(-32004, op, path=tmp_path / "none") == errno_text(errno.ENOENT)
        fails(-32004, op, path=tmp_path / "broken")
        assert fails(-32603, op, path=tmp_path / "loop") == errno_text(errno.ELOOP)
        assert fails(-32603, op, path=tmp_path / "f/x") == errno_text(errno.ENOTDIR)
    fails(-32004, "fs/getMetadata", path=tmp_path / "none", **NO)


def test_links_are_refused_when_they_may_not_be_followed(
    fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "to-d").symlink_to("d")
    fails(-32600, "fs/getMetadata", path=tmp_path / "to-d", **NO)
    message = fails(-32603, "fs/getMetadata", path=tmp_path / "to-d/f", **NO)
    assert message == errno_text(errno.ENOTDIR)


def test_a_canonical_path_has_no_links(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "real/sub/ü f").write_text("x")
    (tmp_path / "l1").symlink_to("real")
    (tmp_path / "l2").symlink_to(tmp_path / "l1")
    os.mkfifo(tmp_path / "real/fifo")
    expected = str(PathUri.from_native(tmp_path.resolve() / "real/sub/ü f"))
    assert ask("fs/canonicalize", path=tmp_path / "l2/sub/ü f") == {"path": expected}
    assert ask("fs/canonicalize", path=tmp_path / "l1/fifo")["path"].endswith("/real/fifo")
    assert ask("fs/canonicalize", path="file:///../..") == {"path": "file:///"}
    assert ask("fs/canonicalize", path=b"/dev/null") == {"path": "file:///dev/null"}


def test_what_appeared_is_told_apart_from_what_is_missing(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "broken").symlink_to("nothing")
    base = str(PathUri.from_native(tmp_path))
    uris = [f"{base}/{name}" for name in ("there", "missing", "broken", "missing/x", "there/../q")]
    uris.append(base + "/th%65re")
    assert ask("fs/checkMissing", paths=uris) == {"present": [uris[0], uris[2], uris[5]]}
    assert ask("fs/checkMissing", paths=[]) == {"present": []}
    fails(-32602, "fs/checkMissing", paths="file:///")
    fails(-32602, "fs/checkMissing", paths=["/tmp"])
    fails(-32600, "fs/checkMissing", paths=[base] * 1025)


def test_what_may_not_be_seen_counts_as_missing(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    (public_path / "closed").mkdir()
    (public_path / "closed/f").write_text("x")
    (public_path / "closed").chmod(0)
    uri = str(PathUri.from_native(public_path / "closed/f"))
    assert as_nobody(lambda: ask("fs/checkMissing", paths=[uri])) == {"present": []}
    assert ask("fs/checkMissing", paths=[uri]) == {"present": [uri]}


def test_a_file_without_a_birth_time_says_zero(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fs_helper.system_calls._function", lambda name: None)
    assert ask("fs/getMetadata", path=tmp_path)["createdAtMs"] == 0
