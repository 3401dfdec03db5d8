"""Reading and writing standard streams: never blocking the loop, never changing a flag."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_client.cli.streams import (
    InputKind,
    StreamReader,
    StreamWriter,
    input_is_at_eof,
    input_kind,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            continue


def test_each_kind_of_input_is_recognised(tmp_path: Path, pipe: tuple[int, int]) -> None:
    assert input_kind(pipe[0]) == InputKind.DATA
    with (tmp_path / "file").open("w+b") as file:
        assert input_kind(file.fileno()) == InputKind.DATA
    with open(os.devnull, "rb") as null:
        assert input_kind(null.fileno()) == InputKind.NOTHING
        closed = null.fileno()
    assert input_kind(closed) == InputKind.NOTHING
    leader, terminal = os.openpty()
    assert input_kind(terminal) == InputKind.TERMINAL
    os.close(leader)
    os.close(terminal)


def test_an_empty_file_and_an_abandoned_pipe_are_at_their_end(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    assert not input_is_at_eof(reader)
    os.write(writer, b"x")
    os.close(writer)
    assert not input_is_at_eof(reader)
    os.read(reader, 1)
    assert input_is_at_eof(reader)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        assert not input_is_at_eof(file.fileno())
        os.read(file.fileno(), 1)
        assert input_is_at_eof(file.fileno())


async def test_a_reader_waits_for_data_and_then_for_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = StreamReader(reader)
    async with asyncio.timeout(5):
        waiting = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writer, b"data")
        assert await waiting == b"data"
        os.close(writer)
        assert await stream.read() == b""
    assert os.get_blocking(reader)


async def test_a_cancelled_read_takes_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = StreamReader(reader)
    async with asyncio.timeout(5):
        waiting = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        os.write(writer, b"data")
        assert await stream.read() == b"data"


async def test_a_plain_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100_000)
    pieces = []
    with path.open("rb") as file:
        stream = StreamReader(file.fileno())
        async with asyncio.timeout(5):
            while piece := await stream.read():
                pieces.append(piece)
    assert b"".join(pieces) == b"a" * 100_000


async def test_a_terminal_that_went_away_is_an_end() -> None:
    leader, terminal = os.openpty()
    os.close(leader)
    async with asyncio.timeout(5):
        assert await StreamReader(terminal).read() == b""
    os.close(terminal)


async def test_a_slow_reader_of_our_output_does_not_stop_the_loop(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = StreamWriter(writer)
    data = os.urandom(500_000)
    async with asyncio.timeout(5):
        writing = asyncio.create_task(stream.write(data))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        received = bytearray()
        while len(received) < len(data):
            received += await asyncio.to_thread(os.read, reader, 65_536)
        await writing
    stream.close()
    assert bytes(received) == data
    assert os.get_blocking(writer)


async def test_small_writes_need_no_thread(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    threads = threading.active_count()
    stream = StreamWriter(writer)
    await stream.write(b"hello")
    assert threading.active_count() == threads
    assert os.read(reader, 100) == b"hello"
    stream.close()


async def test_writing_to_nobody_is_a_broken_pipe(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    stream = StreamWriter(writer)
    with pytest.raises(BrokenPipeError):
        await stream.write(b"x")
    with pytest.raises(BrokenPipeError):
        await stream.write(b"x" * 100_000)
    stream.close()
