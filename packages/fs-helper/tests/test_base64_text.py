"""Base64 in pieces."""

from __future__ import annotations

import base64

import pytest
from fs_helper.base64_text import Base64Collector, Base64Error
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 1000


def collect(text: bytes, cuts: list[int]) -> bytes:
    collector = Base64Collector(LIMIT)
    places = sorted({min(cut, len(text)) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(text)], strict=True):
        collector.feed(text[start:end])
    return bytes(collector.finish())


@given(st.binary(max_size=200), st.lists(st.integers(0, 300)))
def test_a_text_may_be_cut_anywhere(data: bytes, cuts: list[int]) -> None:
    assert collect(base64.b64encode(data), cuts) == data


@given(
    st.text(st.sampled_from("ABab01+/=Q== \n-_"), max_size=12).map(str.encode),
    st.lists(st.integers(0, 12)),
)
def test_only_the_one_spelling_is_accepted_however_it_is_cut(text: bytes, cuts: list[int]) -> None:
    try:
        expected = base64.b64decode(text, validate=True)
    except ValueError:
        expected = None
    if expected is None or base64.b64encode(expected) != text:
        with pytest.raises(Base64Error):
            collect(text, cuts)
    else:
        assert collect(text, cuts) == expected


def test_too_much_is_refused_and_not_kept() -> None:
    collector = Base64Collector(LIMIT)
    for _ in range(100):
        collector.feed(b"AAAA" * 100)
    with pytest.raises(Base64Error, match="1000"):
        collector.finish()
    exact = Base64Collector(3)
    exact.feed(b"AAAA")
    assert exact.finish() == bytes(3)
