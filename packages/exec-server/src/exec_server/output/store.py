"""Store for a process's output: memory first, then disk, oldest dropped first.

Three places, oldest output first::

    segments on disk  →  on its way to disk  →  memory

Output that the client has not got yet must survive a lost connection, so it is treated
with more care than output that has arrived; see ``OutputStore.trim``. A client that keeps up
costs no disk access at all. When a process has ended, all that
is kept of it may go to disk, so that the memory is free for others: see ``finished``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from .arrival import Arrival
from .reading_back import LARGEST_READ_BYTES, collect, select
from .retained import Chunk, RetainedOutput
from .spool import RECORD_OVERHEAD_BYTES, DiskBudget, Segment, Spool

__all__ = ["LARGEST_READ_BYTES", "OutputStore"]

_CHUNK_COST_BYTES: Final = 240
"""What a chunk takes in memory beside its payload: output may come byte by byte."""
_NUMBERS_WITHOUT_OUTPUT: Final = 2
"""Exit and close. A cursor beyond them is not what anybody has seen, so it claims nothing."""
_BATCH_BYTES: Final = 1024 * 1024
"""Handed to the disk at once."""
_PENDING_BYTES: Final = 4 * 1024 * 1024
"""On its way to disk; beyond it the process waits, so that a slow disk costs no memory."""


def _nobody(_size: int) -> None:
    pass


def _nothing() -> None:
    pass


def _cost(chunk: Chunk) -> int:
    return len(chunk.data) + _CHUNK_COST_BYTES


class OutputStore:
    """Retained output of one process.

    Args:
        memory_bytes: Share that is always kept in memory.
        budget: How much of it may be on disk.
        spool: The server's disk space.
        hold_up: When the budget is full, make the process wait instead of dropping.
        on_room: Called when a process that was held up may go on.
        on_dropped: Called with the bytes of output that its client will never get.
    """

    def __init__(
        self,
        memory_bytes: int,
        budget: DiskBudget,
        spool: Spool,
        *,
        hold_up: bool,
        on_room: Callable[[], None],
        on_dropped: Callable[[int], None] = _nobody,
    ) -> None:
        self._memory = RetainedOutput(memory_bytes)
        self._spool = spool
        self._budget = budget
        self._uses_disk = budget.enabled
        self._hold_up = hold_up
        self._on_room = on_room
        self._on_dropped = on_dropped
        self._segments: deque[Segment] = deque()
        self._pending: deque[Chunk] = deque()
        self._pending_bytes = 0
        self._pending_cost = 0
        self._writing: asyncio.Task[None] | None = None
        self._wants_rest = False
        self._resting: Segment | None = None
        self._closed = False
        self._was_full = False
        self._attached = False
        self.arrival = Arrival()

    # ------------------------------------------------------------------ the connection

    def attached(self, next_seq: int) -> None:
        """Events from ``next_seq`` on are sent to a connection."""
        self._attached = True
        self.arrival.attached(next_seq)
        self._tell_room()

    def detached(self) -> None:
        """Nobody gets events from now on."""
        self._attached = False
        self.arrival.detached()

    def trim(self) -> None:
        """Drop what has arrived beyond memory's share, and move on what has not."""
        memory = self._memory
        while memory.over_capacity:
            oldest = memory.oldest_seq
            if self.arrival.has(oldest):
                memory.pop_oldest()
            elif self._attached and self.arrival.is_live(oldest):
                break  # in flight: the connection's window bounds it, and it may have to be kept
            elif self._hold_up and not self._disk_has_room:
                break  # its client asked that nothing be dropped: the process waits
            else:  # of a detached session, or still to be caught up with
                self._spill(memory.pop_oldest())
        while self._pending and self._pending[0].seq <= self.arrival.seq:
            self._forget_pending([self._pending[0]])
        self._drop_arrived_segments()
        self._start_writing()
        self._tell_room()
        if self._wants_rest:
            self.rest()

    # ------------------------------------------------------------------ in

    @property
    def size(self) -> int:
        """Bytes of output kept, wherever."""
        return sum(segment.payload for segment in self._on_disk) + self.in_memory

    @property
    def in_memory(self) -> int:
        """Bytes of output kept in memory."""
        return self._pending_bytes + self._memory.size

    @property
    def full(self) -> bool:
        """Whether the process should wait before it writes more."""
        self._was_full = self._pending_cost >= _PENDING_BYTES or (
            self._hold_up
            and self._memory.over_capacity
            and not (self._attached and self.arrival.is_live(self._memory.oldest_seq))
        )
        return self._was_full

    def append(self, chunk: Chunk) -> None:
        """Keep a chunk, whose number is greater than any before."""
        self._memory.append(chunk)
        if self._memory.over_capacity:
            self.trim()

    def _tell_room(self) -> None:
        if self._was_full and not self.full:
            self._on_room()

    @property
    def _disk_has_room(self) -> bool:
        return self._uses_disk and self._budget.has_room(self._pending_cost + _BATCH_BYTES)

    # ------------------------------------------------------------------ to disk

    def _spill(self, chunk: Chunk) -> None:
        if not self._uses_disk or self._closed:
            self._on_dropped(len(chunk.data))
            return
        self._pending.append(chunk)
        self._pending_bytes += len(chunk.data)
        self._pending_cost += _cost(chunk)
        self._start_writing()

    def _start_writing(self) -> None:
        if self._writing is None and self._worth_writing:
            self._writing = asyncio.get_running_loop().create_task(self._write_pending())

    @property
    def _worth_writing(self) -> bool:
        if self._closed or self._pending_cost < _BATCH_BYTES // 4:
            return False
        return self._uses_disk and (self._disk_has_room or not self._hold_up)

    async def _write_pending(self) -> None:
        try:
            while self._worth_writing:
                try:
                    await self._write_batch()
                except OSError as error:
                    self._disk_failed(error)
        finally:
            self._writing = None
            if self._closed:
                self._release()
            else:
                self._tell_room()

    def _disk_failed(self, error: OSError) -> None:
        # The oldest goes first: dropping a segment also makes room on a full disk, so the
        # same batch is tried again. With none left, memory is all there is from here on.
        self._spool.failed(error)
        if self._segments and not self._segments[-1].size:  # nothing got into it
            self._spool.discard(self._segments.pop())
        if self._segments and not self._hold_up:
            self._drop_oldest_segment()
            return
        self._uses_disk = False
        if not self._hold_up:
            self._on_dropped(self._pending_bytes)
            self._clear_pending()

    async def _write_batch(self) -> None:
        batch: list[Chunk] = []
        size = 0
        for chunk in self._pending:
            batch.append(chunk)
            size += _cost(chunk)
            if size >= _BATCH_BYTES:
                break
        cost = sum(len(chunk.data) + RECORD_OVERHEAD_BYTES for chunk in batch)
        if not self._reserve_disk(cost):
            self._on_dropped(sum(len(chunk.data) for chunk in batch))
            self._forget_pending(batch)
            return
        written = 0
        try:
            written = await self._append_to_segment(batch)
        finally:  # what is reserved is what is there, also when nothing could be written
            self._budget.give_back(cost - written)
        self._forget_pending(batch)

    async def _append_to_segment(self, batch: list[Chunk]) -> int:
        """Write a batch; returns the bytes that the segment has grown by."""
        loop = asyncio.get_running_loop()
        executor = self._spool.executor
        if not self._segments or self._segments[-1].is_full:
            self._segments.append(await loop.run_in_executor(executor, Segment, self._spool))
        segment = self._segments[-1]
        before = segment.size
        if not self._closed:
            await loop.run_in_executor(executor, segment.write, batch)
        return segment.size - before

    def _reserve_disk(self, cost: int) -> bool:
        """Reserve ``cost`` bytes of disk, dropping this process's oldest segments for it."""
        while not self._budget.take(cost):
            if not self._segments:
                return False
            self._drop_oldest_segment()
        return True

    def _forget_pending(self, batch: list[Chunk]) -> None:
        for chunk in batch:
            if self._pending and self._pending[0] is chunk:
                self._pending.popleft()
                self._pending_bytes -= len(chunk.data)
                self._pending_cost -= _cost(chunk)

    def _clear_pending(self) -> None:
        self._pending.clear()
        self._pending_bytes = self._pending_cost = 0

    def _drop_arrived_segments(self) -> None:
        while self._segments and self._segments[0].last_seq <= self.arrival.seq:
            if self._writing is not None and len(self._segments) == 1:
                return  # it is being written to
            self._drop_segment()

    def _drop_oldest_segment(self) -> None:
        self._on_dropped(self._segments[0].payload)
        self._drop_segment()

    def _drop_segment(self) -> None:
        segment = self._segments.popleft()
        self._budget.give_back(segment.size)
        self._spool.discard(segment)

    # ------------------------------------------------------------------ after the end

    def finish(self) -> None:
        """No output comes any more: once others need the memory, it goes to disk."""
        # What is beyond the share is in flight, and gone with that.
        self._spool.finished.add(self, min(self._memory.size, self._memory.capacity))

    def rest(self) -> None:
        """Go to disk as a whole, at the latest when what is in flight has arrived.

        What has been on disk before stays as it is: then memory holds no more than its share.
        """
        self._wants_rest = True
        memory, elsewhere = self._memory, self._segments or self._pending or self._resting
        if self._closed or self._writing or elsewhere or memory.over_capacity or not memory.size:
            return
        cost = self._memory.size + RECORD_OVERHEAD_BYTES * len(self._memory)
        if self._uses_disk and self._budget.take(cost):
            self._writing = asyncio.get_running_loop().create_task(self._write_all(cost))

    async def _write_all(self, cost: int) -> None:
        run = asyncio.get_running_loop().run_in_executor
        segment: Segment | None = None
        try:
            segment = await run(self._spool.executor, Segment, self._spool)
            await run(self._spool.executor, segment.write, self._memory.read_after(0))
            self._resting = segment
            self._memory.clear()
        except OSError as error:  # it stays in memory, where it was
            self._spool.failed(error)
            self._uses_disk = False
        finally:
            self._writing = None
            if self._resting is None:
                self._budget.give_back(cost)
                if segment is not None:
                    self._spool.discard(segment)
            elif self._closed:
                self._release()

    # ------------------------------------------------------------------ out

    @property
    def _on_disk(self) -> list[Segment]:
        return [*self._segments, *([] if self._resting is None else [self._resting])]

    @property
    def _newest_seq(self) -> int:
        return self._memory.newest_seq if self._resting is None else self._resting.last_seq

    def has_after(self, seq: int) -> bool:
        """Whether a chunk newer than ``seq`` is kept."""
        return self._newest_seq > seq

    def claim(self, after_seq: int) -> None:
        """The client says that it has everything up to a number."""
        if after_seq <= self._newest_seq + _NUMBERS_WITHOUT_OUTPUT:
            self.arrival.claimed(after_seq)

    def read(
        self, after_seq: int, max_bytes: int | None, piece_bytes: int = 0
    ) -> list[Chunk] | asyncio.Future[list[Chunk]]:
        """Return chunks newer than a cursor, oldest first.

        Args:
            after_seq: Last number that the reader has seen; 0 for none.
            max_bytes: Budget of payload, the first chunk being whole in any case. ``None``
                for everything, or its newest part when that is more than one answer holds.
            piece_bytes: What each chunk costs of the budget beside its payload.

        Returns:
            The chunks, or a future of them when some are on disk.
        """
        self.trim()
        in_memory = [*self._pending, *self._memory.read_after(0 if self._pending else after_seq)]
        segments = [segment for segment in self._on_disk if segment.last_seq > after_seq]
        if not segments:
            return select(in_memory, after_seq, max_bytes, piece_bytes)
        # What the answer says is decided here; only fetching it takes time.
        loop = asyncio.get_running_loop()
        return asyncio.ensure_future(
            loop.run_in_executor(
                self._spool.executor,
                collect,
                segments,
                in_memory,
                after_seq,
                max_bytes,
                piece_bytes,
            )
        )

    def newest(self, max_bytes: int) -> list[Chunk]:
        """Return the end of the output, as far as it is in memory, oldest chunk first."""
        return self._memory.newest(max_bytes)

    # ------------------------------------------------------------------ end

    def close(self) -> None:
        """Drop everything and give the disk space back. Repeating it does nothing."""
        self._closed = True
        self._on_room = _nothing  # the callback's owner refers to this, too
        self._on_dropped = _nobody
        self._clear_pending()
        self._spool.finished.discard(self)
        if self._writing is None:
            self._release()

    async def wait_closed(self) -> None:
        """Wait until nothing is being written any more. Cancelling it leaves that alone."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _release(self) -> None:
        while self._segments:
            self._drop_segment()
        if self._resting is not None:
            self._budget.give_back(self._resting.size)
            self._spool.discard(self._resting)
            self._resting = None
