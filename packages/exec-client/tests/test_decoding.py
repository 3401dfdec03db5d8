"""Bytes that are no text: what is before them arrives, and nothing of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from exec_client.connection.read_budget import ReadBudget
from exec_client.process.output import OutputStream
from hypothesis import example, given
from hypothesis import strategies as st


def _stream(pieces: list[bytes]) -> OutputStream:
    stream = OutputStream(ReadBudget(10**9))
    for seq, piece in enumerate(pieces, 1):
        stream.feed(piece, seq)
    stream.end()
    return stream


async def _taken(texts: AsyncIterator[str]) -> tuple[list[str], bool]:
    """Return what was yielded, and whether it ended without an error."""
    found: list[str] = []
    try:
        async for text in texts:
            found.append(text)  # noqa: PERF401 - what comes before the error counts
    except UnicodeDecodeError:
        return found, False
    return found, True


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.text(), st.text(), st.integers(1, 5), st.sampled_from(["utf-8", "utf-8-sig", "ascii"]))
def test_text_before_bad_bytes_arrives_and_the_rest_can_be_read(
    before: str, after: str, size: int, encoding: str
) -> None:
    async def main() -> None:
        good = before.encode(encoding, "ignore")
        data = good + b"\xff" + after.encode()
        stream = _stream(_cut(data, size))
        texts, complete = await _taken(stream.text(encoding))
        assert not complete
        assert "".join(texts) == good.decode(encoding)
        assert await stream.read() == data[len(good) :]

    asyncio.run(main())


def _without_end(line: bytes) -> bytes:
    # What follows the last line end is a line as it is, "\r" included.
    return line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line


@example([b"\r"], 1)
@example([b"\xff\r"], 1)
@example([b"\r", b"\r"], 1)
@given(
    st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b" ")), max_size=6),
    st.integers(1, 5),
)
def test_lines_and_the_bytes_behind_them_are_all_of_the_output(
    lines: list[bytes], size: int
) -> None:
    async def main() -> None:
        data = b"\n".join(lines)
        stream = _stream(_cut(data, size))
        read: list[bytes] = []
        complete = False
        while not complete:
            found, complete = await _taken(stream.lines())
            read += [line.encode() for line in found]
            if not complete:
                read.append(_without_end(await stream.readline()))
        wanted = [_without_end(line + b"\n") for line in lines[:-1]] + lines[-1:]
        while wanted and not wanted[-1]:  # the last line is one only with something in it
            wanted.pop()
        while read and not read[-1]:
            read.pop()
        assert read == wanted
        assert stream.buffered == 0

    asyncio.run(main())


async def test_half_a_character_at_the_end_can_be_read_as_bytes() -> None:
    stream = _stream([b"caf\xc3"])
    assert await _taken(stream.text()) == (["caf"], False)
    assert await stream.read() == b"\xc3"
