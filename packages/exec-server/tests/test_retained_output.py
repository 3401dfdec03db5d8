"""Retained output in memory."""

from __future__ import annotations

from exec_server.output.retained import MAX_CHUNKS, Chunk, RetainedOutput
from hypothesis import given
from hypothesis import strategies as st


def _fill(capacity: int, sizes: list[int]) -> tuple[RetainedOutput, list[Chunk]]:
    kept = RetainedOutput(capacity)
    everything = []
    for seq, size in enumerate(sizes, 1):
        chunk = Chunk(seq, b"stdout", bytes([seq % 256]) * size)
        everything.append(chunk)
        kept.append(chunk)
        while kept.over_capacity:
            kept.pop_oldest()
    return kept, everything


@given(st.integers(0, 500), st.lists(st.integers(1, 200), max_size=60))
def test_what_is_kept_is_the_end_and_at_least_the_capacity(capacity: int, sizes: list[int]) -> None:
    kept, everything = _fill(capacity, sizes)
    chunks = kept.read_after(0)
    assert chunks == everything[len(everything) - len(chunks) :]
    assert kept.size == sum(len(chunk.data) for chunk in chunks)
    assert kept.size >= min(capacity, sum(sizes))
    if len(chunks) > 1:
        assert kept.size - len(chunks[0].data) < capacity


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 50))
def test_reading_after_a_cursor_returns_what_is_newer_in_order(
    sizes: list[int], after_seq: int
) -> None:
    kept, everything = _fill(10**6, sizes)
    assert kept.read_after(after_seq) == [c for c in everything if c.seq > after_seq]


def test_the_newest_chunk_stays_even_when_it_alone_is_too_large() -> None:
    kept, everything = _fill(10, [5, 1000])
    assert kept.read_after(0) == everything[1:]


def test_the_number_of_chunks_is_limited_too() -> None:
    kept, _ = _fill(10**9, [1] * (MAX_CHUNKS + 10))
    chunks = kept.read_after(0)
    assert len(chunks) == MAX_CHUNKS
    assert (chunks[0].seq, chunks[-1].seq) == (11, MAX_CHUNKS + 10)
    assert (kept.oldest_seq, kept.newest_seq) == (11, MAX_CHUNKS + 10)
