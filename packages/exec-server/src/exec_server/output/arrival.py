"""Arrival of events: which of a process's events its client is known to have. Pure.

Two sources. A *cursor*: a client that reads after sequence number *n* says that it has
everything up to *n*, and once the answer has arrived it has that too. And *live* events of
the present connection, which have arrived when the connection's watermark has passed them.
Live events do not prove that what an earlier connection lost was caught up; so they are
counted apart until the cursor has reached the point where they began.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Arrival"]

_COALESCE_BYTES: Final = 64 * 1024
"""Events this close together on the connection are remembered as one: positions only need
to be as fine as the megabyte between two watermarks."""


class Arrival:
    """Sequence numbers that have arrived.

    Attributes:
        seq: Everything up to this number has arrived.
    """

    __slots__ = ("_in_flight", "_live_from", "_live_seq", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self._live_from = 1
        self._live_seq = 0
        # (position on the connection where it starts, where it ends, number, is live)
        self._in_flight: deque[tuple[int, int, int, bool]] = deque()

    def attached(self, next_seq: int) -> None:
        """A connection gets the events from ``next_seq`` on."""
        self._in_flight.clear()
        self._live_from = next_seq
        self._live_seq = next_seq - 1

    def detached(self) -> None:
        """Note a lost connection: live events in flight will not be confirmed any more."""
        self._in_flight.clear()

    def sent(self, seq: int, position: int, *, live: bool) -> None:
        """An event, or an answer that ends with it, was sent.

        Args:
            seq: Its number.
            position: Bytes sent on the connection so far.
            live: A notification; otherwise the answer to a read.
        """
        start = position
        if self._in_flight:
            first, _end, _seq, was_live = self._in_flight[-1]
            if was_live == live and position - first < _COALESCE_BYTES:
                self._in_flight.pop()
                start = first
        self._in_flight.append((start, position, seq, live))

    def confirm(self, position: int) -> None:
        """Everything up to this position of the connection has arrived."""
        while self._in_flight and self._in_flight[0][1] <= position:
            _start, _end, seq, live = self._in_flight.popleft()
            if live:
                self._live_seq = max(self._live_seq, seq)
            else:
                self.seq = max(self.seq, seq)
        self._join()

    def claimed(self, seq: int) -> None:
        """The client says that it has everything up to ``seq``."""
        if seq > self.seq:
            self.seq = seq
            self._join()

    def _join(self) -> None:
        if self.seq >= self._live_from - 1:
            self.seq = max(self.seq, self._live_seq)

    def has(self, seq: int) -> bool:
        """Whether the event with this number has arrived."""
        return seq <= self.seq or self._live_from <= seq <= self._live_seq

    def is_live(self, seq: int) -> bool:
        """Whether the event was sent, or will be, on the present connection."""
        return seq >= self._live_from
