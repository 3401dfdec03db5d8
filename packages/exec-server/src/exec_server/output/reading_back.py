"""Selection of retained output for one answer to ``process/read``.

Clients take messages of 64 MiB at most, and a server shall not take much memory to make one.
So an answer is bounded by the output in it, and by what its pieces cost: output that was
written byte by byte takes a hundred times its size, on the wire and in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from .retained import Chunk
from .spool import Segment

__all__ = ["LARGEST_READ_BYTES", "collect", "select"]

LARGEST_READ_BYTES: Final = 32 * 1024 * 1024
"""Payload of one answer: as base64 it still fits the 64 MiB that clients take at most."""

_LARGEST_COST: Final = 48 * 1024 * 1024
"""The same for the encoded answer, with what its pieces cost beside their payload."""
_CHUNK_COST_BYTES: Final = 256
"""Of one piece: members, quotes and a number on the wire, objects in memory."""


def _cost(payload: int, chunks: int) -> int:
    return payload * 4 // 3 + chunks * _CHUNK_COST_BYTES


def collect(
    segments: list[Segment],
    in_memory: list[Chunk],
    after_seq: int,
    max_bytes: int | None,
    piece_bytes: int = 0,
) -> list[Chunk]:
    """Read from disk what an answer needs, and put what is in memory behind it.

    Runs in the spool's thread.

    Args:
        segments: Oldest first.
        in_memory: Chunks that are newer, or that were written to the last segment meanwhile.
        after_seq: Cursor.
        max_bytes: Budget of payload, ``None`` for the newest part that an answer holds.
        piece_bytes: What each chunk costs of it beside its payload.
    """
    if max_bytes is None:
        return _collect_newest(segments, in_memory, after_seq)
    found: list[Chunk] = []
    total = 0
    for segment in segments:
        for chunk in segment.read(after_seq):
            found.append(chunk)
            total += len(chunk.data) + piece_bytes
            if total >= max_bytes or _cost(total, len(found)) > _LARGEST_COST:
                return select(found, after_seq, max_bytes, piece_bytes)
    newest = found[-1].seq if found else after_seq
    found += (chunk for chunk in in_memory if chunk.seq > newest)
    return select(found, after_seq, max_bytes, piece_bytes)


def _collect_newest(segments: list[Segment], in_memory: list[Chunk], after_seq: int) -> list[Chunk]:
    needed: list[Segment] = []
    payload = sum(len(chunk.data) for chunk in in_memory)
    count = len(in_memory)
    for segment in reversed(segments):
        if payload > LARGEST_READ_BYTES or _cost(payload, count) > _LARGEST_COST:
            break
        needed.insert(0, segment)
        payload += segment.payload
        count += segment.count
    newest = _Newest()
    for segment in needed:
        newest.add(segment.read(after_seq))
    newest.add(chunk for chunk in in_memory if chunk.seq > max(after_seq, newest.last_seq))
    return list(newest.chunks)


class _Newest:
    """The newest chunks that fit into an answer, of those added in their order."""

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self.last_seq = 0
        self._payload = 0

    def add(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self.chunks.append(chunk)
            self.last_seq = chunk.seq
            self._payload += len(chunk.data)
            while len(self.chunks) > 1 and (
                self._payload > LARGEST_READ_BYTES
                or _cost(self._payload, len(self.chunks)) > _LARGEST_COST
            ):
                self._payload -= len(self.chunks.popleft().data)


def select(
    chunks: list[Chunk], after_seq: int, max_bytes: int | None, piece_bytes: int = 0
) -> list[Chunk]:
    """Cut a run of chunks, oldest first, to what one answer holds.

    Args:
        chunks: What there is.
        after_seq: Cursor.
        max_bytes: Budget of payload, the first chunk being whole in any case. ``None`` for
            the newest part that an answer holds.
        piece_bytes: What each chunk costs of it beside its payload.
    """
    found = [chunk for chunk in chunks if chunk.seq > after_seq]
    if max_bytes is None:
        newest = _Newest()
        newest.add(found)
        return list(newest.chunks)
    taken: list[Chunk] = []
    total = 0
    for chunk in found:
        total += len(chunk.data) + piece_bytes
        if taken and (total > max_bytes or _cost(total, len(taken) + 1) > _LARGEST_COST):
            break
        taken.append(chunk)
        if total >= max_bytes:
            break
    return taken
