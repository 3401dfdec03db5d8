"""Whole files, read and written, in place and atomically."""

from __future__ import annotations

import base64
import errno
import os
import random
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.helper import DATA_BYTES, FrameKind
from fs_helper.errors import errno_text

Ask = Callable[..., Any]
SIZES = [0, 1, 2, 3, 4095, 4096, 4097, 4098, 70_000, DATA_BYTES - 1, DATA_BYTES]
SIZES += [DATA_BYTES + 1, 2 * DATA_BYTES, 3 * DATA_BYTES + 5]


def content_of(answer: Any) -> bytes:
    assert set(answer) == {"dataBase64"}
    return base64.b64decode(answer["dataBase64"], validate=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("follow", [True, False])
def test_what_is_written_is_read_back(ask: Ask, tmp_path: Path, size: int, follow: bool) -> None:
    data = random.Random(size).randbytes(size)
    assert ask("fs/writeFile", path=tmp_path / "f", dataBase64=data, followSymlinks=follow) == {}
    assert (tmp_path / "f").read_bytes() == data
    assert content_of(ask("fs/readFile", path=tmp_path / "f", followSymlinks=follow)) == data


@pytest.mark.parametrize("old", [0, 1, 4096, 70_000, 2 * 1024 * 1024])
@pytest.mark.parametrize("new", [0, 1, 4095, 4096, 70_000, 1024 * 1024, 1024 * 1024 + 1])
def test_what_was_longer_or_shorter_before_leaves_nothing(
    ask: Ask, tmp_path: Path, old: int, new: int
) -> None:
    (tmp_path / "f").write_bytes(b"o" * old)
    ask("fs/writeFile", path=tmp_path / "f", dataBase64=b"n" * new)
    assert (tmp_path / "f").read_bytes() == b"n" * new


def test_when_the_disk_is_full_a_file_ends_where_its_new_content_ends(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"o" * 10_000)
    real = os.pwrite

    def full(fd: int, data: memoryview, offset: int) -> int:
        if offset >= 4096:
            raise OSError(errno.ENOSPC, "")
        return real(fd, data[: 4096 - offset], offset)

    monkeypatch.setattr(os, "pwrite", full)
    fails(-32603, "fs/writeFile", path=tmp_path / "f", dataBase64=b"n" * 9000)
    assert (tmp_path / "f").read_bytes() == b"n" * 4096


def test_a_small_file_is_one_frame_and_a_large_one_is_cut(ask: Any, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * (DATA_BYTES - 1))
    ask("fs/readFile", path=file)
    assert [frame.kind for frame in ask.frames] == [FrameKind.RESULT_DATA_LAST]
    file.write_bytes(b"x" * (DATA_BYTES * 2 + 1))
    ask("fs/readFile", path=file)
    assert [frame.kind for frame in ask.frames] == (
        [FrameKind.RESULT_DATA] * 2 + [FrameKind.RESULT_DATA_LAST]
    )


def test_a_file_above_the_limit_is_refused_from_its_size(
    fails: Callable[..., str], tmp_path: Path
) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(512 * 1024 * 1024 + 1)
    for follow in (True, False):
        assert "536870912" in fails(
            -32600, "fs/readFile", path=tmp_path / "f", followSymlinks=follow
        )


def test_a_file_that_claims_to_be_empty_is_read_to_its_end(ask: Ask) -> None:
    assert os.stat("/proc/self/smaps").st_size == 0
    assert content_of(ask("fs/readFile", path=b"/proc/self/status")).startswith(b"Name:")
    smaps = content_of(ask("fs/readFile", path=b"/proc/self/smaps"))
    assert len(smaps) > 8192
    assert smaps.endswith(b"\n")


@pytest.mark.parametrize("op", ["fs/readFile", "fs/open"])
def test_only_regular_files_are_read(fails: Callable[..., str], tmp_path: Path, op: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "to-d").symlink_to("d")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", 0o600 | stat.S_IFSOCK)
    for name, code in {
        "d": -32600, "to-d": -32600, "fifo": -32600, "broken": -32004, "missing": -32004,
        "missing/x": -32004, "loop": -32603, "file/x": -32603, "socket": -32603,
    }.items():  # fmt: skip
        fails(code, op, path=tmp_path / name, handleId="h")
    fails(-32600, op, path=b"/dev/null", handleId="h")


@pytest.mark.parametrize("atomic", [False, True])
def test_places_that_cannot_be_written_to(
    fails: Callable[..., str], tmp_path: Path, atomic: bool
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "to-d").symlink_to("d")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", 0o600 | stat.S_IFSOCK)
    for name, code in {
        "d": -32603, "to-d": -32603, "missing/x": -32004, "loop": -32603, "file/x": -32603,
        "fifo": -32603, "socket": -32603, "x" * 300: -32603,
    }.items():  # fmt: skip
        fails(code, "fs/writeFile", path=tmp_path / name, dataBase64=b"new", atomic=atomic)
    fails(-32603, "fs/writeFile", path=b"/", dataBase64=b"", atomic=atomic)
    assert sorted(os.listdir(tmp_path)) == ["d", "fifo", "file", "loop", "socket", "to-d"]
    assert (tmp_path / "file").read_text() == "x"


def test_an_overwritten_file_keeps_inode_mode_and_links(ask: Ask, tmp_path: Path) -> None:
    file, link, hard = tmp_path / "f", tmp_path / "link", tmp_path / "hard"
    file.write_text("old old old")
    file.chmod(0o640)
    os.link(file, hard)
    link.symlink_to("f")
    before = file.stat()
    ask("fs/writeFile", path=link, dataBase64=b"new")
    after = file.stat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert hard.read_bytes() == b"new"
    assert link.is_symlink()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_broken_link_gets_its_target(ask: Ask, tmp_path: Path, atomic: bool) -> None:
    (tmp_path / "link").symlink_to("target")
    ask("fs/writeFile", path=tmp_path / "link", dataBase64=b"x", atomic=atomic)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"x"


@pytest.mark.parametrize("atomic", [False, True])
def test_a_new_file_gets_the_usual_mode(ask: Ask, tmp_path: Path, atomic: bool) -> None:
    old = os.umask(0o027)
    try:
        ask("fs/writeFile", path=tmp_path / "f", dataBase64=b"x", atomic=atomic)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "bad", ["!", "YQ", "YQ=", "YR==", " YQ==", "YQ==\n", "_-8=", "Y", "YQ==YQ==", "====", "YWJ="]
)
@pytest.mark.parametrize("atomic", [False, True])
def test_bad_base64_is_found_before_the_file_is_touched(
    fails: Callable[..., str], tmp_path: Path, bad: str, atomic: bool
) -> None:
    (tmp_path / "f").write_text("old")
    message = fails(-32600, "fs/writeFile", path=tmp_path / "f", dataBase64=bad, atomic=atomic)
    assert message.startswith("dataBase64: ")
    assert (tmp_path / "f").read_text() == "old"


@pytest.mark.parametrize("atomic", [False, True])
def test_links_are_not_followed_when_told_so(
    fails: Callable[..., str], ask: Ask, tmp_path: Path, atomic: bool
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_text("data")
    (tmp_path / "dirlink").symlink_to("real")
    (tmp_path / "filelink").symlink_to("real/f")
    (tmp_path / "broken").symlink_to("real/new")
    no = {"followSymlinks": False}
    for name, number in (
        ("filelink", errno.ELOOP), ("broken", errno.ELOOP), ("dirlink/f", errno.ENOTDIR)
    ):  # fmt: skip
        path = tmp_path / name
        assert fails(-32603, "fs/readFile", path=path, **no) == errno_text(number)
        message = fails(-32603, "fs/writeFile", path=path, dataBase64=b"evil", atomic=atomic, **no)
        assert message == errno_text(number)
    fails(-32600, "fs/readFile", path=b"/", **no)
    fails(-32600, "fs/readFile", path=tmp_path, **no)
    fails(-32600, "fs/writeFile", path=b"/", dataBase64=b"", atomic=atomic, **no)
    fails(-32600, "fs/writeFile", path=b"/dev/null", dataBase64=b"", atomic=atomic, **no)
    fails(-32004, "fs/readFile", path=tmp_path / "none", **no)
    assert (tmp_path / "real/f").read_text() == "data"
    assert not (tmp_path / "real/new").exists()
    ask("fs/writeFile", path=tmp_path / "real/g", dataBase64=b"new", atomic=atomic, **no)
    assert os.listdir(tmp_path / "real") in (["f", "g"], ["g", "f"])


def test_devices_are_written_to_in_place(ask: Ask, fails: Callable[..., str]) -> None:
    assert ask("fs/writeFile", path=b"/dev/null", dataBase64=b"x" * 100_000) == {}
    assert fails(-32603, "fs/writeFile", path=b"/dev/full", dataBase64=b"x") == errno_text(
        errno.ENOSPC
    )
    fails(-32600, "fs/writeFile", path=b"/dev/null", dataBase64=b"x", atomic=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_fifo_never_makes_anybody_wait(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    started = time.monotonic()
    for follow in (True, False):
        message = fails(-32603, "fs/writeFile", path=fifo, dataBase64=b"x", followSymlinks=follow)
        assert message == errno_text(errno.ENXIO)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert ask("fs/writeFile", path=fifo, dataBase64=b"hello") == {}
        assert os.read(reader, 100) == b"hello"
        fails(-32600, "fs/writeFile", path=fifo, dataBase64=b"x", followSymlinks=False)
        fails(-32600, "fs/open", handleId="w", path=fifo, mode="replace")
        # A reader that does not read is given up after a moment.
        message = fails(-32603, "fs/writeFile", path=fifo, dataBase64=b"x" * 200_000)
        assert message == errno_text(errno.EAGAIN)
    finally:
        os.close(reader)
    assert time.monotonic() - started < 10


def test_a_slow_reader_of_a_fifo_gets_everything(ask: Ask, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    data = random.Random(1).randbytes(300_000)
    got = bytearray()
    opened = threading.Event()

    def read() -> None:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        opened.set()
        os.set_blocking(reader, True)
        while len(got) < len(data):
            got.extend(os.read(reader, 1000))
        os.close(reader)

    thread = threading.Thread(target=read)
    thread.start()
    assert opened.wait(5)
    ask("fs/writeFile", path=fifo, dataBase64=data)
    thread.join(5)
    assert bytes(got) == data


def test_the_memory_of_a_process_is_not_a_file(fails: Callable[..., str]) -> None:
    denied = errno_text(errno.EACCES)
    for path in (b"/proc/self/mem", b"/proc/thread-self/mem", b"/proc/%d/mem" % os.getppid()):
        assert fails(-32600, "fs/writeFile", path=path, dataBase64=b"") == denied
        assert fails(-32600, "fs/open", handleId="h", path=path, mode="replace") == denied
        assert (
            fails(
                -32600,
                "fs/copy",
                sourcePath=b"/proc/self/status",
                destinationPath=path,
                recursive=False,
            )
            == denied
        )


def test_names_that_are_not_utf8_work(ask: Ask, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\x01 %41#?\"<>`{}|\\^~[]@!$&'()*+,;=\xc3\xa9")
    ask("fs/writeFile", path=name, dataBase64=b"x")
    assert os.listdir(os.fsencode(tmp_path)) == [os.path.basename(name)]
    for follow in (True, False):
        assert content_of(ask("fs/readFile", path=name, followSymlinks=follow)) == b"x"
    canonical = ask("fs/canonicalize", path=name)["path"]
    assert content_of(ask("fs/readFile", path=canonical)) == b"x"


def test_an_atomic_write_keeps_mode_owner_and_attributes(ask: Ask, tmp_path: Path) -> None:
    file, hard = tmp_path / "f", tmp_path / "hard"
    file.write_text("old")
    os.link(file, hard)
    if os.getuid() == 0:
        os.chown(file, 1234, 2345)
    file.chmod(0o4751)
    try:
        os.setxattr(file, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no user attributes")
    before = file.stat()
    ask("fs/writeFile", path=file, dataBase64=b"new", atomic=True)
    after = file.stat()
    assert file.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid
    )  # fmt: skip
    assert os.getxattr(file, "user.note") == b"kept"
    assert after.st_ino != before.st_ino
    assert hard.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["f", "hard"]


def test_without_nameless_files_an_atomic_write_leaves_nothing_behind(
    ask: Ask, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fs_helper.atomic._TMPFILE", 0)
    ask("fs/writeFile", path=tmp_path / "f", dataBase64=b"1", atomic=True)
    ask("fs/writeFile", path=tmp_path / "f", dataBase64=b"2", atomic=True)
    # Only when the new file has a name of its own is it found that there is one already.
    again = {"path": tmp_path / "f", "dataBase64": b"3", "atomic": True, "exclusive": True}
    fails(-32603, "fs/writeFile", **again)
    assert (tmp_path / "f").read_text() == "2"
    assert os.listdir(tmp_path) == ["f"]
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()
    fails(-32603, "fs/writeFile", path=tmp_path / "f", dataBase64=b"3", atomic=True)
    assert os.listdir(tmp_path) == ["f"]


def test_readers_see_the_old_or_the_new_content_of_an_atomic_write(
    ask: Ask, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    contents = [b"a" * 300_000, b"b" * 200_000]
    file.write_bytes(contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(file.read_bytes())

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):
        ask("fs/writeFile", path=file, dataBase64=contents[number % 2], atomic=True)
    done.set()
    thread.join(5)
    assert seen <= set(contents)


def test_a_file_that_may_not_be_written_to_is_not_replaced_either(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    file = public_path / "f"
    file.write_text("old")
    file.chmod(0o444)
    public_path.chmod(0o777)
    for atomic in (False, True):
        answer = as_nobody(
            lambda atomic=atomic: ask("fs/writeFile", path=file, dataBase64=b"new", atomic=atomic)
        )
        assert answer == {"code": -32600, "message": errno_text(errno.EACCES)}
    assert file.read_text() == "old"
    assert os.listdir(public_path) == ["f"]


def test_an_owner_that_cannot_be_kept_keeps_the_old_content(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    file = public_path / "f"
    file.write_text("old")
    file.chmod(0o666)
    public_path.chmod(0o777)
    answer = as_nobody(lambda: ask("fs/writeFile", path=file, dataBase64=b"new", atomic=True))
    assert answer == {"code": -32600, "message": errno_text(errno.EPERM)}
    assert file.read_text() == "old"
    assert os.listdir(public_path) == ["f"]
    assert as_nobody(lambda: ask("fs/writeFile", path=file, dataBase64=b"new")) == {}
    assert file.read_text() == "new"


def test_search_only_ancestors_are_no_hindrance(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    inner = public_path / "secret" / "inner"
    inner.mkdir(parents=True)
    (inner / "f").write_text("x")
    (inner / "closed").write_text("x")
    (inner / "f").chmod(0o666)
    (inner / "closed").chmod(0)
    os.chown(inner, 65534, 65534)
    inner.chmod(0o300)
    (public_path / "secret").chmod(0o711)
    no = {"followSymlinks": False}

    def work() -> Any:
        ask("fs/writeFile", path=inner / "f", dataBase64=b"new", **no)
        ask("fs/writeFile", path=inner / "g", dataBase64=b"new", atomic=True, **no)
        ask("fs/createDirectory", path=inner / "d/e", **no)
        return [
            ask("fs/readFile", path=inner / "f", **no)["dataBase64"],
            ask("fs/getMetadata", path=inner / "closed", **no)["isFile"],
        ]

    assert as_nobody(work) == ["bmV3", True]
    assert sorted(os.listdir(inner)) == ["closed", "d", "f", "g"]
