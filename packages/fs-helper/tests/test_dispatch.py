"""Requests to answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.helper import (
    BULK_MEMBERS,
    DATA_BYTES,
    FrameKind,
    Request,
    decode_error,
)
from fs_helper.answers import Pieces, join
from fs_helper.dispatch import BAD_BASE64_CODES, Dispatcher
from hypothesis import given
from hypothesis import strategies as st


def test_everything_that_can_be_asked_is_listed() -> None:
    assert Dispatcher().operations == [
        "fs/canonicalize", "fs/checkMissing", "fs/close", "fs/copy", "fs/createDirectory",
        "fs/createSymlink", "fs/getMetadata", "fs/move", "fs/open", "fs/readBlock",
        "fs/readDirectory", "fs/readFile", "fs/readLink", "fs/remove", "fs/setMetadata",
        "fs/walk", "fs/writeBlock", "fs/writeFile",
    ]  # fmt: skip
    assert set(BAD_BASE64_CODES) == set(BULK_MEMBERS)


def test_an_unknown_operation_is_an_answer(fails: Callable[..., str]) -> None:
    fails(-32601, "fs/format")


@pytest.mark.parametrize("op", Dispatcher().operations)
def test_params_of_any_shape_get_an_answer(ask: Any, op: str) -> None:
    shapes: list[dict[str, Any]] = [{}, {"path": 1}, {"path": "/plain"}, {"handleId": []}]
    for params in shapes:
        bulk = ask.dispatcher.collector() if op in BULK_MEMBERS else None
        frames = list(ask.dispatcher.answer(1, Request(op, params), bulk))
        assert frames[-1][0][4] == FrameKind.ERROR
        assert decode_error(frames[-1][0][9:]).code == -32602


def test_a_fault_of_the_helper_costs_one_request(
    ask: Any, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(params: dict[str, Any]) -> Pieces:
        yield b"{"
        raise ZeroDivisionError(str(tmp_path))

    monkeypatch.setitem(ask.dispatcher._operations, "fs/walk", broken)
    message = fails(-32603, "fs/walk", path=tmp_path)
    assert message == "the file helper failed: ZeroDivisionError"
    assert [frame.kind for frame in ask.frames] == [FrameKind.RESULT_PART, FrameKind.ERROR]
    assert ask("fs/getMetadata", path=tmp_path)["isDirectory"] is True


def test_an_error_may_follow_the_first_pieces(
    ask: Any, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(2_000_000))
    monkeypatch.setattr("fs_helper.content.READ_FILE_MAX_BYTES", 2_000_000)
    assert ask("fs/readFile", path=file)["dataBase64"]
    with file.open("ab") as growing:
        frames = ask.dispatcher.answer(1, Request("fs/readFile", {"path": file.as_uri()}), None)
        first = next(frames)
        growing.write(b"one more")
    kinds = [first[0][4], *(buffers[0][4] for buffers in frames)]
    assert kinds == [FrameKind.RESULT_DATA] * (2_000_000 // DATA_BYTES) + [FrameKind.ERROR]


def test_a_long_message_is_cut(ask: Any) -> None:
    uri = "http" + "x" * 10_000 + ":"
    frames = list(ask.dispatcher.answer(1, Request("fs/readFile", {"path": uri}), None))
    assert len(decode_error(frames[-1][0][9:]).message) <= 4096


@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=30), max_size=30))
def test_joined_pieces_are_the_texts(texts: list[str]) -> None:
    pieces = []
    generator = join(texts)
    while True:
        try:
            pieces.append(next(generator))
        except StopIteration as stop:
            pieces.append(stop.value)
            break
    assert b"".join(pieces).decode() == "".join(texts)
