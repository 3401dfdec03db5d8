"""What is kept of an output that is longer than the limit."""

from __future__ import annotations

import pytest
from exec_client.process.kept_output import Keep, KeptOutput
from hypothesis import given
from hypothesis import strategies as st

keeps = st.sampled_from(["head", "tail", "both"])
pieces = st.lists(st.binary(max_size=20), max_size=20)


def _kept(pieces: list[bytes], limit: int | None, keep: Keep) -> KeptOutput:
    kept = KeptOutput(limit, keep)
    for piece in pieces:
        kept.add(piece)
    return kept


@given(pieces, st.integers(0, 60), keeps)
def test_the_wanted_ends_are_kept_and_the_rest_is_counted(
    pieces: list[bytes], limit: int, keep: Keep
) -> None:
    data = b"".join(pieces)
    head = {"head": limit, "tail": 0, "both": limit // 2}[keep]
    dropped = max(0, len(data) - limit)
    wanted = data if not dropped else data[:head] + data[len(data) - (limit - head) :]
    kept = _kept(pieces, limit, keep)
    assert kept.dropped == dropped
    assert kept.value() == wanted


@given(pieces, keeps)
def test_without_a_limit_everything_is_kept(pieces: list[bytes], keep: Keep) -> None:
    kept = _kept(pieces, None, keep)
    assert (kept.value(), kept.dropped) == (b"".join(pieces), 0)


@given(st.text(min_size=1, max_size=40), st.integers(0, 60), keeps)
def test_text_that_was_cut_is_text(text: str, limit: int, keep: Keep) -> None:
    kept = _kept([text.encode()], limit, keep)
    dropped = kept.dropped
    shown = kept.text("utf-8", "strict")
    if not dropped:
        assert shown == text
    else:
        assert len(shown.replace("\ufffd", "").encode()) <= limit


def test_a_flood_takes_no_more_memory_than_the_limit() -> None:
    kept = KeptOutput(1000, "both")
    for _ in range(10_000):
        kept.add(b"y" * 100)
    assert len(kept._head) + len(kept._tail._ring) == 1000
    assert len(kept.value()) == 1000


def test_bytes_that_are_no_text_are_an_error_only_strictly() -> None:
    assert _kept([b"caf\xe9"], None, "both").text("utf-8", "replace") == "caf\ufffd"
    with pytest.raises(UnicodeDecodeError):
        _kept([b"caf\xe9"], None, "both").text("utf-8", "strict")
