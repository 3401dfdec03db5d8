"""The newest output of a process, in memory. Pure: no I/O.

Output, exit and close share one sequence. Only output is kept here; exit and close take a
number and leave a hole between the chunks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

__all__ = ["MAX_CHUNKS", "Chunk", "RetainedOutput"]

MAX_CHUNKS: Final = 50_000
"""Chunks kept however small they are: each costs some 150 bytes beside its payload."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that were read from a child at once."""

    seq: int
    stream: bytes
    """``stdout``, ``stderr`` or ``pty``, as it is on the wire."""
    data: bytes
    written: int = 0
    """Bytes of output, of all streams, before this one."""
    errors: int = 0
    """How many of those went to ``stderr``."""


class RetainedOutput:
    """The newest chunks of a process.

    The owner takes the oldest out while it is ``over_capacity``, which is judged so that at
    least ``capacity`` bytes stay, if there were as many: whole chunks go, as long as the
    rest still fills the budget.
    """

    __slots__ = ("_capacity", "_chunks", "_size")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._chunks: deque[Chunk] = deque()
        self._size = 0

    @property
    def capacity(self) -> int:
        """Bytes that stay, if there are as many."""
        return self._capacity

    @property
    def size(self) -> int:
        """Bytes held now."""
        return self._size

    @property
    def oldest_seq(self) -> int:
        """Number of the oldest chunk, 0 when there is none."""
        return self._chunks[0].seq if self._chunks else 0

    @property
    def newest_seq(self) -> int:
        """Number of the newest chunk, 0 when there is none."""
        return self._chunks[-1].seq if self._chunks else 0

    @property
    def over_capacity(self) -> bool:
        """Whether the rest would still fill the budget without the oldest chunk."""
        chunks = self._chunks
        return len(chunks) > 1 and (
            self._size - len(chunks[0].data) >= self._capacity or len(chunks) > MAX_CHUNKS
        )

    def append(self, chunk: Chunk) -> None:
        """Keep ``chunk``, whose ``seq`` is greater than any before."""
        self._chunks.append(chunk)
        self._size += len(chunk.data)

    def pop_oldest(self) -> Chunk:
        """Take the oldest chunk out."""
        chunk = self._chunks.popleft()
        self._size -= len(chunk.data)
        return chunk

    def __len__(self) -> int:
        return len(self._chunks)

    def clear(self) -> None:
        """Drop all chunks."""
        self._chunks.clear()
        self._size = 0

    def newest(self, max_bytes: int) -> list[Chunk]:
        """Return the end of the output, oldest chunk first, the first one cut to fit."""
        found: list[Chunk] = []
        left = max_bytes
        for chunk in reversed(self._chunks):
            if left <= 0:
                break
            found.append(Chunk(chunk.seq, chunk.stream, chunk.data[-left:]))
            left -= len(chunk.data)
        found.reverse()
        return found

    def read_after(self, after_seq: int) -> list[Chunk]:
        """Return the chunks newer than a cursor, oldest first; 0 for all of them."""
        chunks = self._chunks
        if not chunks or chunks[-1].seq <= after_seq:
            return []
        start = bisect_right(chunks, after_seq, key=lambda chunk: chunk.seq)
        return list(islice(chunks, start, None))
