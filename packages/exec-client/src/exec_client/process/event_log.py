"""The recent events of a process, for subscribers that come late, and live delivery.

History is bounded, and so is what waits for one subscriber: a slow one learns how many
events it missed and goes on with the oldest that is left. Who must have every byte reads
the output streams instead.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from ..connection.read_budget import ReadBudget
from ..errors import OutputLostError
from ..gaps import sum_or_unknown
from .events import (
    ClosedEvent,
    ExitedEvent,
    FailedEvent,
    GapEvent,
    OutputEvent,
    ProcessEvent,
    payload_size,
)

__all__ = ["HISTORY_BYTES", "HISTORY_EVENTS", "QUEUE_EVENTS", "EventLog", "Subscription"]

HISTORY_EVENTS: Final = 256
"""Enough for a late subscriber to see how a process got where it is."""
HISTORY_BYTES: Final = 1024 * 1024
"""Memory that one process may take for that."""
QUEUE_EVENTS: Final = 256
"""Live events that wait for one subscriber before the oldest is dropped."""


class EventLog:
    """History and subscribers of one process.

    Args:
        budget: Told when somebody waits, so that the connection is read meanwhile.
        gaps: Tell a slow subscriber by an event, and not by an error, what it missed.
    """

    def __init__(self, budget: ReadBudget | None = None, *, gaps: bool = False) -> None:
        self._budget = budget or ReadBudget(0)
        self._gaps = gaps
        self._history: deque[ProcessEvent] = deque()
        self._size = 0
        # Weak: one that nobody iterates over any more just goes.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def publish(self, event: ProcessEvent) -> None:
        """Keep an event and give it to every subscriber."""
        self._history.append(event)
        self._size += payload_size(event)
        while len(self._history) > HISTORY_EVENTS or self._size > HISTORY_BYTES:
            self._size -= payload_size(self._history.popleft())
        for subscription in self._subscriptions:
            if subscription.push(event):
                self._budget.request_yield()

    @property
    def awaited(self) -> bool:
        """Whether a subscriber waits for an event."""
        return any(subscription.waiting for subscription in self._subscriptions)

    def subscribe(self) -> Subscription:
        """Return what is kept and everything after it, without a hole or a repetition."""
        subscription = Subscription(self._budget, self._history, gaps=self._gaps)
        self._subscriptions.add(subscription)
        return subscription


class Subscription(AsyncIterator[ProcessEvent]):
    """One subscriber's view. Ends after the last event.

    Attributes:
        waiting: Tasks that wait for an event.

    Raises:
        OutputLostError: From iteration, once, when events were dropped because they were
            not taken in time. Iterating goes on after it. With ``gaps`` there is a
            ``GapEvent`` instead, and the exit behind it if that was among them.
    """

    def __init__(
        self, budget: ReadBudget, history: deque[ProcessEvent], *, gaps: bool = False
    ) -> None:
        self._budget = budget
        self._gaps = gaps
        self._gap: GapEvent | None = None
        self._late_exit: ExitedEvent | None = None
        self._replay = deque(history)
        self._live: deque[ProcessEvent] = deque()
        self._missed = 0
        self._missed_bytes = 0
        self._missed_after = 0
        self._arrived = asyncio.Event()
        self._over = False
        self.waiting = 0

    def push(self, event: ProcessEvent) -> bool:
        """Queue an event, dropping the oldest when there are too many.

        Returns:
            Whether the queue is half full: the subscriber should get a chance to run.
        """
        if self._over:
            return False
        self._live.append(event)
        if len(self._live) > QUEUE_EVENTS and self._gaps:
            self._widen_gap()
        elif len(self._live) > QUEUE_EVENTS:
            oldest = self._live.popleft()
            if not self._missed and not isinstance(oldest, FailedEvent):
                self._missed_after = oldest.seq - 1
            self._missed += 1
            self._missed_bytes += payload_size(oldest)
        self._arrived.set()
        return len(self._live) > QUEUE_EVENTS // 2

    def _widen_gap(self) -> None:
        oldest = self._live.popleft()
        if isinstance(oldest, ExitedEvent):
            self._late_exit = oldest
        elif isinstance(oldest, OutputEvent | GapEvent):
            gap = oldest if isinstance(oldest, GapEvent) else _as_gap(oldest)
            self._gap = gap if self._gap is None else _joined(self._gap, gap)

    def _next(self) -> ProcessEvent:
        if self._replay:
            return self._replay.popleft()
        if self._gap is not None:
            gap, self._gap = self._gap, None
            return gap
        if self._late_exit is not None:
            late, self._late_exit = self._late_exit, None
            return late
        if self._missed:
            missed, self._missed = self._missed, 0
            lost, self._missed_bytes = self._missed_bytes, 0
            first = self._live[0]
            raise OutputLostError(
                f"{missed} events were dropped because they were not taken in time",
                after_seq=self._missed_after,
                oldest_seq=None if isinstance(first, FailedEvent) else first.seq,
                lost_bytes=lost,
            )
        return self._live.popleft()

    async def __anext__(self) -> ProcessEvent:
        """Return the next event. Several tasks may share the events of one subscription."""
        while not self._replay and not self._live:
            if self._over:
                raise StopAsyncIteration
            self._arrived.clear()
            self.waiting += 1
            try:
                with self._budget.waiting():
                    await self._arrived.wait()
            finally:
                self.waiting -= 1
        event = self._next()
        if isinstance(event, ClosedEvent | FailedEvent):
            self._over = True
            self._arrived.set()
        return event

    async def aclose(self) -> None:
        """Take no more events."""
        self._over = True
        self._replay.clear()
        self._live.clear()
        self._missed = 0
        self._gap = self._late_exit = None
        self._arrived.set()


def _as_gap(event: OutputEvent) -> GapEvent:
    size = len(event.data)
    in_stderr = event.stream == "stderr"
    return GapEvent(event.seq, event.seq, 0 if in_stderr else size, size if in_stderr else 0)


def _joined(first: GapEvent, second: GapEvent) -> GapEvent:
    return GapEvent(
        first.seq,
        second.last_seq,
        sum_or_unknown(first.stdout_bytes, second.stdout_bytes),
        sum_or_unknown(first.stderr_bytes, second.stderr_bytes),
    )
