"""Open files."""

from __future__ import annotations

import base64
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.helper import DATA_BYTES, FrameKind
from fs_helper.errors import errno_text

Ask = Callable[..., Any]


@pytest.fixture
def block(ask: Ask) -> Callable[[str, int, int], tuple[bytes, bool]]:
    def block(handle_id: str, offset: int, length: int) -> tuple[bytes, bool]:
        answer = ask("fs/readBlock", handleId=handle_id, offset=offset, len=length)
        assert set(answer) == {"chunk", "eof"}
        return base64.b64decode(answer["chunk"], validate=True), answer["eof"]

    return block


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_blocks_come_from_anywhere_and_eof_means_a_short_one(
    ask: Ask, block: Callable[..., Any], tmp_path: Path
) -> None:
    data = random.Random(1).randbytes(2_000_000)
    (tmp_path / "f").write_bytes(data)
    assert ask("fs/open", handleId="h", path=tmp_path / "f") == {"handleId": "h"}
    assert block("h", 0, 60_000) == (data[:60_000], False)
    assert block("h", 5, 3) == (data[5:8], False)
    for length in (DATA_BYTES - 1, DATA_BYTES, DATA_BYTES + 1, 1_048_576):
        assert block("h", 1000, length) == (data[1000 : 1000 + length], False)
    assert block("h", 1_999_000, 1000) == (data[-1000:], False)
    assert block("h", 1_999_000, 1001) == (data[-1000:], True)
    assert block("h", 2_000_000, 10) == (b"", True)
    assert block("h", 10**12, 10) == (b"", True)
    assert ask("fs/close", handleId="h") == {}
    assert ask("fs/close", handleId="h") == {}


def test_a_handle_stays_with_the_opened_file(
    ask: Ask, block: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("original")
    ask("fs/open", handleId="h", path=tmp_path / "f", mode="read")
    (tmp_path / "g").write_text("replacement")
    os.replace(tmp_path / "g", tmp_path / "f")
    assert block("h", 0, 100) == (b"original", True)
    (tmp_path / "f").unlink()
    assert block("h", 4, 100) == (b"inal", True)


def test_a_refused_handle_touches_nothing(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("kept")
    before = descriptors()
    ask("fs/open", handleId="h", path=tmp_path / "f")
    replace = {"path": tmp_path / "f", "mode": "replace"}
    fails(-32600, "fs/open", handleId="h", **replace)
    fails(-32600, "fs/open", handleId="x" * 33, **replace)
    fails(-32600, "fs/open", handleId="é" * 17, **replace)
    fails(-32602, "fs/open", handleId="n", path=tmp_path / "f", mode="truncate")
    fails(-32602, "fs/open", path=tmp_path / "f")
    fails(-32600, "fs/close", handleId="x" * 33)
    ask("fs/open", handleId="", path=tmp_path / "f")
    ask("fs/open", handleId="x" * 32, path=tmp_path / "f")
    assert (tmp_path / "f").read_text() == "kept"
    assert descriptors() == before + 3


def test_at_most_128_are_open(ask: Ask, fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    for number in range(128):
        ask("fs/open", handleId=f"h{number}", path=tmp_path / "f")
    message = fails(-32600, "fs/open", handleId="more", path=tmp_path / "f", mode="replace")
    assert "128" in message
    assert (tmp_path / "f").read_text() == "x"
    ask("fs/close", handleId="h7")
    ask("fs/open", handleId="more", path=tmp_path / "f")


def test_a_length_outside_the_limits_keeps_the_handle(
    ask: Ask, fails: Callable[..., str], block: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    ask("fs/open", handleId="h", path=tmp_path / "f")
    for length in (0, 1_048_577):
        fails(-32600, "fs/readBlock", handleId="h", offset=0, len=length)
        fails(-32600, "fs/readBlock", handleId="unknown", offset=0, len=length)
    fails(-32602, "fs/readBlock", handleId="h", offset=-1, len=1)
    assert fails(-32004, "fs/readBlock", handleId="unknown", offset=0, len=1)
    assert block("h", 0, 1_048_576) == (b"x", True)


@pytest.mark.parametrize(
    ("offset", "length"), [(2**63, 1), (2**63 - 1, 1), (2**63 - 5, 5), (2**64 - 1, 1)]
)
def test_an_offset_that_no_file_has_ends_the_handle(
    ask: Ask, fails: Callable[..., str], tmp_path: Path, offset: int, length: int
) -> None:
    (tmp_path / "f").write_text("x")
    before = descriptors()
    ask("fs/open", handleId="h", path=tmp_path / "f")
    message = fails(-32600, "fs/readBlock", handleId="h", offset=offset, len=length)
    assert message == errno_text(errno.EINVAL)
    fails(-32004, "fs/readBlock", handleId="h", offset=0, len=1)
    assert descriptors() == before


def test_a_device_that_fails_in_the_middle_of_a_block_ends_the_handle(
    ask: Any, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(bytes(1_048_576))
    before = descriptors()
    ask("fs/open", handleId="h", path=tmp_path / "f")
    real = os.preadv

    def failing(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset >= DATA_BYTES:
            raise OSError(errno.EIO, "")
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    message = fails(-32603, "fs/readBlock", handleId="h", offset=0, len=1_048_576)
    assert message == errno_text(errno.EIO)
    assert [frame.kind for frame in ask.frames] == [FrameKind.RESULT_DATA, FrameKind.ERROR]
    fails(-32004, "fs/readBlock", handleId="h", offset=0, len=1)
    assert descriptors() == before


def test_a_file_is_emptied_at_once_and_written_anywhere(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "f"
    file.write_text("old content")
    (tmp_path / "link").symlink_to("f")
    inode = file.stat().st_ino
    ask("fs/open", handleId="w", path=tmp_path / "link", mode="replace")
    assert file.read_bytes() == b""
    for offset, data in ((0, b"abc"), (10, b"xyz"), (1, b"B")):
        assert ask("fs/writeBlock", handleId="w", offset=offset, chunk=data) == {}
    assert file.read_bytes() == b"aBc" + bytes(7) + b"xyz"
    assert file.stat().st_ino == inode
    big = random.Random(2).randbytes(1_048_576)
    ask("fs/writeBlock", handleId="w", offset=0, chunk=big)
    assert file.read_bytes() == big
    fails(-32600, "fs/writeBlock", handleId="w", offset=0, chunk=b"")
    fails(-32600, "fs/writeBlock", handleId="w", offset=0, chunk=big + b"x")
    fails(-32602, "fs/writeBlock", handleId="w", offset=0, chunk="!")
    fails(-32600, "fs/writeBlock", handleId="w", offset=2**63 - 1, chunk=b"x")
    fails(-32600, "fs/writeBlock", handleId="w", offset=2**64 - 1, chunk=b"x")
    message = fails(-32603, "fs/writeBlock", handleId="w", offset=2**63 - 2, chunk=b"x")
    assert message == errno_text(errno.EFBIG)
    fails(-32004, "fs/writeBlock", handleId="unknown", offset=0, chunk=b"x")
    ask("fs/writeBlock", handleId="w", offset=0, chunk=b"still")
    assert file.read_bytes()[:6] == b"still" + big[5:6]


def test_a_new_file_can_be_opened_for_writing(ask: Ask, tmp_path: Path) -> None:
    ask("fs/open", handleId="w", path=tmp_path / "new", mode="replace")
    assert (tmp_path / "new").read_bytes() == b""


def test_a_broken_transfer_goes_on_where_it_stopped(
    ask: Ask, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("first half")
    ask("fs/open", handleId="w", path=tmp_path / "f", mode="update")
    assert (tmp_path / "f").read_text() == "first half"
    ask("fs/writeBlock", handleId="w", offset=10, chunk=b", second half")
    ask("fs/writeBlock", handleId="w", offset=0, chunk=b"F")
    assert (tmp_path / "f").read_text() == "First half, second half"
    assert fails(-32603, "fs/readBlock", handleId="w", offset=0, len=1) == errno_text(errno.EBADF)
    ask("fs/open", handleId="n", path=tmp_path / "new", mode="update")
    assert (tmp_path / "new").read_bytes() == b""


def test_the_wrong_direction_keeps_the_handle(
    ask: Ask, fails: Callable[..., str], block: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    ask("fs/open", handleId="w", path=tmp_path / "g", mode="replace")
    ask("fs/open", handleId="r", path=tmp_path / "f")
    bad = errno_text(errno.EBADF)
    assert fails(-32603, "fs/readBlock", handleId="w", offset=0, len=1) == bad
    assert fails(-32603, "fs/writeBlock", handleId="r", offset=0, chunk=b"x") == bad
    ask("fs/writeBlock", handleId="w", offset=0, chunk=b"y")
    assert block("r", 0, 1) == (b"x", False)


def test_closing_everything_leaves_no_descriptor(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    before = descriptors()
    for number in range(5):
        ask("fs/open", handleId=str(number), path=tmp_path / "f")
    assert len(ask.dispatcher.handles) == 5
    ask.dispatcher.handles.close_all()
    assert len(ask.dispatcher.handles) == 0
    assert descriptors() == before
