"""Output streams: bytes in, pieces, lines and text out."""

from __future__ import annotations

import asyncio
import re

import pytest
from exec_client.errors import OutputLostError, ProcessBrokenError
from exec_client.process.output import OutputStream, ReadBudget
from hypothesis import given
from hypothesis import strategies as st


def _stream(*pieces: bytes, limit: int = 10**9) -> tuple[OutputStream, ReadBudget]:
    budget = ReadBudget(limit)
    stream = OutputStream(budget)
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    return stream, budget


@given(st.text(max_size=60), st.integers(1, 7))
def test_characters_are_never_torn_apart(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]

    async def collect() -> str:
        stream, _ = _stream(*pieces)
        return "".join([part async for part in stream.text()])

    assert asyncio.run(collect()) == text


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_lines_are_the_same_however_the_bytes_arrive(pieces: list[bytes]) -> None:
    async def collect() -> list[bytes]:
        stream, _ = _stream(*[p for p in pieces if p])
        lines = []
        while line := await stream.readline():
            lines.append(line)
        return lines

    joined = b"".join(pieces)
    assert asyncio.run(collect()) == [line for line in re.split(rb"(?<=\n)", joined) if line]


async def test_reading_gives_the_budget_back() -> None:
    stream, budget = _stream(b"abc", b"defg", limit=5)
    assert (budget.used, budget.full) == (7, True)
    assert await stream.read(2) == b"ab"
    assert (budget.used, budget.full) == (5, False)
    assert await stream.read() == b"cdefg"
    assert await stream.read() == b""


async def test_a_cancelled_read_loses_nothing() -> None:
    stream = OutputStream(ReadBudget(10**6))
    stream.feed(b"one ")
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    stream.feed(b"two")
    stream.end()
    assert await stream.read() == b"one two"


async def test_what_arrived_is_read_before_the_error() -> None:
    stream = OutputStream(ReadBudget(10**6))
    stream.feed(b"last words")
    stream.end(ProcessBrokenError("gone"))
    assert await stream.read(100) == b"last words"
    with pytest.raises(ProcessBrokenError, match="gone"):
        await stream.read(100)


async def test_a_stream_that_nobody_wants_gives_way_and_says_so() -> None:
    stream = OutputStream(ReadBudget(100))
    stream.mark_expendable()
    for _ in range(10):
        stream.feed(b"x" * 50)
    stream.end()
    assert stream.buffered <= 100
    with pytest.raises(OutputLostError, match="400 bytes"):
        await stream.read()
    assert len(await stream.read()) == 100


async def test_lines_have_no_ends() -> None:
    stream, _ = _stream(b"a\r\nb", b"c\nd")
    assert [line async for line in stream.lines()] == ["a", "bc", "d"]
