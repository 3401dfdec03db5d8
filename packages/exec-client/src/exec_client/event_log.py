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

from .errors import OutputLostError
from .events import ClosedEvent, FailedEvent, ProcessEvent, payload_size
from .read_budget import ReadBudget

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
    """

    def __init__(self, budget: ReadBudget | None = None) -> None:
        self._budget = budget or ReadBudget(0)
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
                self._budget.crowd()

    @property
    def awaited(self) -> bool:
        """Whether a subscriber waits for an event."""
        return any(subscription.waiting for subscription in self._subscriptions)

    def subscribe(self) -> Subscription:
        """Return what is kept and everything after it, without a hole or a repetition."""
        subscription = Subscription(self._budget, self._history)
        self._subscriptions.add(subscription)
        return subscription


class Subscription(AsyncIterator[ProcessEvent]):
    """One subscriber's view. Ends after the last event.

    Attributes:
        waiting: Tasks that wait for an event.

    Raises:
        OutputLostError: From iteration, once, when events were dropped because they were
            not taken in time. Iterating goes on after it.
    """

    def __init__(self, budget: ReadBudget, history: deque[ProcessEvent]) -> None:
        self._budget = budget
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
        if len(self._live) > QUEUE_EVENTS:
            oldest = self._live.popleft()
            if not self._missed and not isinstance(oldest, FailedEvent):
                self._missed_after = oldest.seq - 1
            self._missed += 1
            self._missed_bytes += payload_size(oldest)
        self._arrived.set()
        return len(self._live) > QUEUE_EVENTS // 2

    def _next(self) -> ProcessEvent:
        if self._replay:
            return self._replay.popleft()
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
        self._arrived.set()
