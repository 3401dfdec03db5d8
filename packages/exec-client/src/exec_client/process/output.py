"""One output stream of a process: bytes in, an async iterator out.

What has arrived and was not read yet counts in a budget that all streams of a client share;
``read_budget`` says what happens when that is used up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from exec_server_protocol._names import OutputStream as StreamName

from ..connection.read_budget import ReadBudget
from ..errors import ClientError, OutputLostError
from ..gaps import FAIL, Gap, OnLoss, sum_or_unknown
from .decoding import decode, split_lines

__all__ = ["MOST_GAPS", "OutputStream", "ReadBudget"]

MOST_GAPS: Final = 1000
"""Gaps of one stream that are remembered one by one; those after them count as the last one."""


@dataclass(slots=True)
class _Hole:
    """A hole between pieces. It may grow until a reader comes to it: then it becomes a marker."""

    seq: int
    last_seq: int
    lost_bytes: int | None
    opened: bool = False


class OutputStream(AsyncIterator[bytes]):
    """Output of a process: stdout, stderr or its terminal.

    Iterate over it for pieces as they arrive, or use the methods. One reader at a time.
    Cancelling a read loses nothing.

    Attributes:
        name: What it is called on the wire.

    Raises:
        ProcessBrokenError: From a read, after everything that arrived, when the process
            cannot be followed any more.
        OutputLostError: From a read, once, when output was given up because nobody read it
            while something else had to get through. Reading goes on after it. With
            ``lost_output="gap"`` there is a marker in the place of it, and no error.
        RuntimeError: Another task is waiting in a read.
    """

    def __init__(
        self,
        budget: ReadBudget,
        name: StreamName = "stdout",
        on_loss: OnLoss = FAIL,
    ) -> None:
        self._budget = budget
        self.name = name
        self._on_loss = on_loss
        self._gaps: list[Gap] = []
        self._delivered = 0
        self._pieces: deque[tuple[int, bytes, _Hole | None]] = deque()
        self._taken_seq = 0
        self._offset = 0
        """How much of the first piece was read already."""
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: ClientError | None = None
        self._read_at: float | None = None
        self._unwanted = False
        self._discarding = False
        self._lost_bytes = 0
        self._lost_after = 0

    # ------------------------------------------------------------------ filled by the process

    def feed(self, data: bytes, seq: int = 0) -> None:
        """Add the bytes of an event."""
        if self._discarding or self._ended or not data:
            return
        self._pieces.append((seq, data, None))
        self._size += len(data)
        self._budget.take(self, len(data))
        if self.expendable and self._budget.full:
            self._budget.drop_unread()
        self._wake()

    def feed_hole(self, seq: int, last_seq: int, lost_bytes: int | None) -> None:
        """Add a hole in the place of lost output. Its reader gets a marker there."""
        if not self._discarding and not self._ended:
            self._pieces.append((seq, b"", _Hole(seq, last_seq, lost_bytes)))
            self._wake()

    def end(self, error: ClientError | None = None) -> None:
        """End the stream; ``error`` says why it is not complete. The first end counts."""
        if self._ended:
            return
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def discard(self) -> None:
        """Drop the output that is there and that still comes: it will not be read."""
        self._discarding = True
        self._pieces.clear()
        self._offset = 0
        size, self._size = self._size, 0
        self._budget.give_back(self, size)

    @property
    def ended(self) -> bool:
        """Whether nothing follows what has arrived."""
        return self._ended

    # ------------------------------------------------------------------ for the budget

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return self._size

    @property
    def expendable(self) -> bool:
        """Whether its output may be dropped: the owner waits for the end or the events instead."""
        return self._unwanted and self._read_at is None

    @property
    def read_at(self) -> float | None:
        """Loop time of the last read; ``None`` for never."""
        return self._read_at

    @property
    def awaited(self) -> bool:
        """Whether a task waits in a read."""
        return self._waiter is not None

    def mark_expendable(self) -> None:
        """Let unread output be dropped instead of holding up other streams, unless a task reads."""
        self._unwanted = True

    def drop_oldest(self, size: int) -> None:
        """Give up ``size`` bytes or a little more, oldest first. Its reader gets an error."""
        first = self._pieces[0][0] if self._pieces else 0
        hole = _Hole(first, first, 0)
        dropped = 0
        while self._pieces and (dropped < size or self._hole_is_next()):
            seq, _, other = self._pieces[0]
            taken = len(self._take(self._size))
            dropped += taken
            hole.last_seq = max(hole.last_seq, seq)
            if other is None:
                hole.lost_bytes = sum_or_unknown(hole.lost_bytes, taken)
            elif not other.opened:
                hole.lost_bytes = sum_or_unknown(hole.lost_bytes, other.lost_bytes)
                hole.last_seq = max(hole.last_seq, other.last_seq)
        if hole.lost_bytes == 0:
            return  # there was nothing but what is left of a marker
        if self._on_loss.goes_on:
            self._pieces.appendleft((hole.seq, b"", hole))
        else:
            self._lost_after = self._lost_after if self._lost_bytes else hole.seq - 1
            self._lost_bytes += hole.lost_bytes or 0

    def _hole_is_next(self) -> bool:
        hole = self._pieces[0][2]
        return hole is not None and not hole.opened

    # ------------------------------------------------------------------ for the reader

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps that a reader has come to, with ``lost_output="gap"``."""
        return tuple(self._gaps)

    def _ready(self) -> bool:
        """Whether there is something to take. A hole that it begins with becomes a marker."""
        if not self._pieces:
            return False
        seq, _, hole = self._pieces[0]
        if hole is not None and not hole.opened:
            hole.opened = True
            gap = Gap(self.name, self._delivered, hole.lost_bytes, hole.seq, hole.last_seq)
            if len(self._gaps) < MOST_GAPS:
                self._gaps.append(gap)
            else:
                last = self._gaps[-1]
                lost = sum_or_unknown(last.lost_bytes, gap.lost_bytes)
                self._gaps[-1] = Gap(self.name, last.offset, lost, last.seq, gap.last_seq)
            marker = self._on_loss.mark(gap)
            self._pieces[0] = (seq, marker, hole)
            self._size += len(marker)
            self._budget.take(self, len(marker))
        return True

    def _claim(self) -> None:
        self._budget.home.check()
        if self._waiter is not None:
            raise RuntimeError("another task is reading this stream")
        self._read_at = asyncio.get_running_loop().time()
        if self._lost_bytes:
            lost, self._lost_bytes = self._lost_bytes, 0
            raise OutputLostError(
                f"{lost} bytes were given up because nobody read them while others waited",
                after_seq=self._lost_after,
                oldest_seq=self._pieces[0][0] if self._pieces else None,
                lost_bytes=lost,
            )

    async def _wait(self) -> bool:
        """Wait for bytes, or for a marker, which may have none. False at the end."""
        self._claim()
        while not self._ready():
            if self._error is not None:
                raise self._error
            if self._ended:
                return False
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                with self._budget.waiting():
                    await self._waiter
            finally:
                self._waiter = None
        return True

    def _take(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the first piece."""
        self._taken_seq, piece, _ = self._pieces[0]
        end = self._offset + size
        if len(piece) > end:
            taken = piece[self._offset : end]
            self._offset = end
        else:
            taken = piece[self._offset :] if self._offset else piece
            self._pieces.popleft()
            self._offset = 0
        self._size -= len(taken)
        self._budget.give_back(self, len(taken))
        return taken

    def _give(self, size: int) -> bytes:
        data = self._take(size)
        self._delivered += len(data)
        return data

    async def _elements(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield the pieces as large as they came, and whether they mark a gap."""
        while await self._wait():
            is_marker = self._pieces[0][2] is not None
            yield self._give(self._size), is_marker

    async def __anext__(self) -> bytes:
        """Return the next piece, as large as it came."""
        while await self._wait():
            if piece := self._give(self._size):
                return piece
        raise StopAsyncIteration

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes as soon as there are any, everything to the end if negative.

        Empty at the end. Cancelling a read to the end keeps what it had collected.
        """
        if n == 0:
            return b""
        while n > 0:
            if not await self._wait():
                return b""
            if data := self._give(n):
                return data
        return await self._collect(b"")

    async def readline(self) -> bytes:
        """Return the next line with its line feed, what is left at the end, or nothing.

        A line may be of any length.
        """
        return await self._collect(b"\n")

    async def _collect(self, until: bytes) -> bytes:
        """Return everything to the end, or to the first ``until`` with it."""
        taken: list[tuple[int, bytes, _Hole | None]] = []
        try:
            while await self._wait():
                seq, piece, hole = self._pieces[0]
                end = piece.find(until, self._offset) + 1 if until else 0
                data = self._give(end - self._offset if end else self._size)
                taken.append((seq, data, hole))
                if end:
                    break
        except BaseException:  # also a failure: what has arrived can still be read
            self._put_back(taken)
            raise
        return b"".join(data for _, data, _ in taken)

    def _unread(self, data: bytes) -> None:
        if data:
            self._put_back([(self._taken_seq, data, None)])

    def _put_back(self, pieces: list[tuple[int, bytes, _Hole | None]]) -> None:
        if not pieces or self._discarding:
            return
        if self._offset:
            seq, head, hole = self._pieces[0]
            self._pieces[0] = (seq, head[self._offset :], hole)
            self._offset = 0
        self._pieces.extendleft(reversed(pieces))
        size = sum(len(data) for _, data, _ in pieces)
        self._delivered -= size
        self._size += size
        self._budget.take(self, size)

    def take_all(self) -> bytes:
        """Return everything that has arrived, without waiting."""
        parts = []
        while self._ready():
            parts.append(self._give(self._size))
        return b"".join(parts)

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> AsyncIterator[str]:
        """Return the output decoded, as it arrives; characters are never torn apart.

        What a gap has left of a character becomes U+FFFD, before it and, in UTF-8, behind it.

        Raises:
            UnicodeDecodeError: From iteration, with ``errors="strict"``, for bytes that are no
                text. All before them was returned, and they are the next to be read.
        """
        return decode(self._elements(), encoding, errors, self._unread)

    def lines(self, encoding: str = "utf-8", errors: str = "strict") -> AsyncIterator[str]:
        """Return the output decoded, line by line, without the line ends.

        Raises:
            UnicodeDecodeError: As ``text``. All lines before the bad one were returned, and that
                one is the next to be read: ``readline`` returns it as bytes.
        """
        return split_lines(self.text(encoding, errors), encoding, self._unread)
