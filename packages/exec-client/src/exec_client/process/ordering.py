"""Events in the order of their numbers, whatever order they arrive in. Pure.

Live notifications and what a catch-up brings go through one object: the first event with a
number wins, later ones with it change nothing.
"""

from __future__ import annotations

from typing import Final

from .events import ClosedEvent, ExitedEvent, SequencedEvent, last_number, payload_size

__all__ = [
    "MAX_PENDING_BYTES",
    "MAX_PENDING_EVENTS",
    "MAX_RECOVERY_BYTES",
    "MAX_RECOVERY_EVENTS",
    "Ordering",
    "ReorderLimitError",
]

MAX_PENDING_EVENTS: Final = 256
"""Events that may wait for an earlier one; executors misorder by a few."""
MAX_PENDING_BYTES: Final = 1024 * 1024
"""The same in bytes."""
MAX_RECOVERY_BYTES: Final = 256 * 1024 * 1024
"""The same while a catch-up is under way: what a busy process writes meanwhile arrives live
and has to wait for what came before it. As much as may wait to be read in all."""
MAX_RECOVERY_EVENTS: Final = 1024 * 1024
"""Events meanwhile, however small."""


class ReorderLimitError(Exception):
    """Too much waits for an event that does not come."""


class Ordering:
    """The event sequence of one process.

    Attributes:
        last: Number of the last published event; 0 for none.
        pending: Events that wait for an earlier one, by number.
        pending_bytes: What those hold, in bytes.
        exited: Whether the exit event is published.
        closed: Whether the close event is published: nothing follows it.
        recovering: Whether a catch-up is under way, which widens the limits.
    """

    def __init__(self) -> None:
        self.last = 0
        self.pending: dict[int, SequencedEvent] = {}
        self.pending_bytes = 0
        self.exited = False
        self.closed = False
        self.recovering = False

    @property
    def highest(self) -> int:
        """Highest number seen so far, published or not."""
        return max(self.pending, default=self.last)

    def apply(self, event: SequencedEvent) -> list[SequencedEvent]:
        """Take an event; return those that are publishable now, in order.

        Raises:
            ReorderLimitError: Too much waits. The event was not taken.
        """
        if self.closed or event.seq <= self.last or event.seq in self.pending:
            return []
        size = payload_size(event)
        if event.seq != self.last + 1:
            self._check_room(size)
        self.pending[event.seq] = event
        self.pending_bytes += size
        return self.drain()

    def _check_room(self, size: int) -> None:
        if self.recovering:
            max_bytes, max_events = MAX_RECOVERY_BYTES, MAX_RECOVERY_EVENTS
        else:
            max_bytes, max_events = MAX_PENDING_BYTES, MAX_PENDING_EVENTS
        if size > max_bytes:
            raise ReorderLimitError(f"process event exceeds {max_bytes} bytes")
        if len(self.pending) >= max_events:
            raise ReorderLimitError(f"reorder buffer exceeds {max_events} entries")
        if self.pending_bytes + size > max_bytes:
            raise ReorderLimitError(f"reorder buffer exceeds {max_bytes} bytes")

    def drain(self) -> list[SequencedEvent]:
        """Return the pending events that follow the last published one, and publish them."""
        ready: list[SequencedEvent] = []
        while not self.closed and (event := self.pending.pop(self.last + 1, None)) is not None:
            self.last = last_number(event)
            self.pending_bytes -= payload_size(event)
            self.exited = self.exited or isinstance(event, ExitedEvent)
            self.closed = isinstance(event, ClosedEvent)
            ready.append(event)
        if self.closed:
            self.clear()
        return ready

    def clear(self) -> None:
        """Drop what waits."""
        self.pending.clear()
        self.pending_bytes = 0
