"""Budget for output that waits to be read, and the rules for what exceeds it.

A connection carries the output of all processes in one sequence, so a stream that nobody
reads is in the way of everything behind it. The rules, for the whole client:

* Up to ``limit`` everything is kept.
* Beyond it the connection is not read while nobody waits for anything from it, so that the
  executor and in the end the processes wait. Nothing is lost by that.
* Does somebody wait for something else, it is read on.
* Streams that their owner has no use for (never read, while the process's events or its end
  are waited for) give up their oldest output beyond ``limit``.
* Beyond four times ``limit``, so do streams that were never read, then those that were not
  read for ten seconds; if there are none, everybody waits.

A stream that had to give up output says so to who reads it. One that is read as it comes
loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ..home import Home

__all__ = ["ABANDONED_SECONDS", "HARD_FACTOR", "ReadBudget", "UnreadOutput"]

HARD_FACTOR: Final = 4
"""Room for output that is read later, while something else on the connection goes on."""
ABANDONED_SECONDS: Final = 10.0
"""A stream not read for so long is taken for abandoned when others wait because of it."""
_RECHECK_SECONDS: Final = 1.0
"""How often streams are looked at again that may have been abandoned meanwhile."""


class UnreadOutput(Protocol):
    """A stream, as its budget sees it."""

    @property
    def buffered(self) -> int:
        """Bytes that wait."""

    @property
    def expendable(self) -> bool:
        """Whether its owner has shown to have no use for it."""

    @property
    def read_at(self) -> float | None:
        """Loop time of the last read; ``None`` for never."""

    def drop_oldest(self, size: int) -> None:
        """Give up ``size`` bytes or a little more."""


class OtherQueue(Protocol):
    """Another queue that waits to be read, with limits and rules of its own."""

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken from the connection, if it can be helped."""

    def drop_unread(self) -> bool:
        """Drop data that no task reads. Returns whether there is room."""


class ReadBudget:
    """Bytes of output that wait to be read, over all processes of a client.

    Args:
        limit: Above it ``full`` is true, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.home = Home()
        self._limit = limit
        self._used = 0
        self._reserved = 0
        self._waiting = 0
        self._yield_requested = False
        self._streams: dict[UnreadOutput, None] = {}
        self._others: list[OtherQueue] = []
        self._changed = asyncio.Event()

    def add_queue(self, other: OtherQueue) -> None:
        """Add a queue to those that decide whether the connection is read."""
        self._others.append(other)

    @property
    def used(self) -> int:
        """Bytes that wait."""
        return self._used

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken from the connection, if it can be helped."""
        return self._used > self._limit or any(other.full for other in self._others)

    @property
    def wanted(self) -> bool:
        """Whether a task waits for something to arrive."""
        return self._waiting > 0

    def take(self, stream: UnreadOutput, size: int) -> None:
        """Count bytes of a stream that wait."""
        self._used += size
        self._streams[stream] = None

    def give_back(self, stream: UnreadOutput, size: int) -> None:
        """Count bytes that were read or given up."""
        self._used -= size
        if not stream.buffered:
            self._streams.pop(stream, None)
        if size and not self.full:
            self.wake()

    def admits(self, size: int, *, wanted: bool) -> bool:
        """Whether so many bytes of missed output may be asked for.

        Args:
            size: How many.
            wanted: Somebody waits for just these: then what others leave unread is not in the
                way, up to the point where it would stop the connection.
        """
        used = self._used + self._reserved
        if used + size <= self._limit or not used:
            return True
        return wanted and self.drop_unread() and used + size <= self._limit * HARD_FACTOR

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Count bytes that were asked for, so that no other page is asked for in the same room."""
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size
            self.wake()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Have the connection read on for as long as a task waits in the block.

        Raises:
            WrongContextError: Whoever waits would wait for ever.
        """
        self.home.check()
        self._waiting += 1
        self.wake()
        try:
            yield
        finally:
            self._waiting -= 1

    # ------------------------------------------------------------------ for the reader

    def may_read(self) -> bool:
        """Whether the connection is read on; if it has to be, output is given up for that.

        While somebody waits for something to arrive, nothing but output that was begun to be
        read and then left can be in the way, and that for ``ABANDONED_SECONDS`` only.
        """
        return not self.full or (self.wanted and self.drop_unread())

    def drop_unread(self) -> bool:
        """Drop unread output, so that other messages get through. Returns whether there is room."""
        if self._used > self._limit:
            # Their owners wait for the events or the end instead.
            self._drop(self._used - self._limit, lambda stream: stream.expendable)
        hard = self._limit * HARD_FACTOR
        if self._used > hard:
            # Never read: perhaps they never will be.
            self._drop(self._used - hard, lambda stream: stream.read_at is None)
        if self._used > hard:
            # Begun and left. A stream that is read as it comes loses nothing.
            before = asyncio.get_running_loop().time() - ABANDONED_SECONDS
            self._drop(self._used - hard, lambda stream: (stream.read_at or 0.0) <= before)
        return self._used <= hard and all(other.drop_unread() for other in self._others)

    def _drop(self, size: int, eligible: _Filter) -> None:
        while size > 0:
            largest = max(filter(eligible, self._streams), key=lambda s: s.buffered, default=None)
            if largest is None:
                return
            used = self._used
            largest.drop_oldest(size)
            size -= used - self._used

    def wake(self) -> None:
        """Wake the reader, to check again whether it may go on."""
        self._changed.set()

    async def wait_changed(self) -> None:
        """Wait until something has changed that may let the reader go on."""
        self._changed.clear()
        try:
            async with asyncio.timeout(_RECHECK_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            return

    def request_yield(self) -> None:
        """Ask the reader to let others run: a subscriber's queue fills up."""
        self._yield_requested = True

    def take_yield_request(self) -> bool:
        """Return whether a yield was requested since the last call."""
        requested, self._yield_requested = self._yield_requested, False
        return requested


class _Filter(Protocol):
    def __call__(self, stream: UnreadOutput, /) -> bool: ...
