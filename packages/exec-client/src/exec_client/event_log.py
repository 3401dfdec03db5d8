"""The recent events of a process, for subscribers that come late, and live delivery.

History is bounded, and so is what waits for one subscriber: a slow one learns how many
events it missed and goes on with the oldest that is left. Who must have every byte reads
the output streams instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from .errors import OutputLostError
from .events import ClosedEvent, FailedEvent, ProcessEvent, payload_size

__all__ = ["HISTORY_BYTES", "HISTORY_EVENTS", "EventLog", "Subscription"]

HISTORY_EVENTS: Final = 256
"""Enough for a late subscriber to see how a process got where it is."""
HISTORY_BYTES: Final = 1024 * 1024
"""Memory that one process may take for that."""
_QUEUE_EVENTS: Final = 256
"""Events that wait for one subscriber before the oldest is dropped."""


class EventLog:
    """History and subscribers of one process."""

    def __init__(self) -> None:
        self._history: deque[ProcessEvent] = deque()
        self._size = 0
        self._subscriptions: set[Subscription] = set()
        self.ended = False

    def publish(self, event: ProcessEvent) -> None:
        """Keep an event and give it to every subscriber."""
        self._history.append(event)
        self._size += payload_size(event)
        while len(self._history) > HISTORY_EVENTS or self._size > HISTORY_BYTES:
            self._size -= payload_size(self._history.popleft())
        self.ended = isinstance(event, ClosedEvent | FailedEvent)
        for subscription in self._subscriptions:
            subscription.push(event)

    def subscribe(self) -> Subscription:
        """Return what is kept and everything after it, without a hole or a repetition."""
        subscription = Subscription(self, list(self._history))
        self._subscriptions.add(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Stop delivering to a subscriber."""
        self._subscriptions.discard(subscription)


class Subscription(AsyncIterator[ProcessEvent]):
    """One subscriber's view. Ends after the last event.

    Raises:
        OutputLostError: From iteration, once, when events were dropped because they were
            not taken in time. Iterating goes on after it.
    """

    def __init__(self, log: EventLog, history: list[ProcessEvent]) -> None:
        self._log = log
        self._queue: deque[ProcessEvent] = deque(history)
        self._missed = 0
        self._waiter: asyncio.Future[None] | None = None
        self._over = False

    def push(self, event: ProcessEvent) -> None:
        """Queue an event, dropping the oldest when there are too many."""
        self._queue.append(event)
        if len(self._queue) > _QUEUE_EVENTS + 1:
            self._queue.popleft()
            self._missed += 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __anext__(self) -> ProcessEvent:
        """Return the next event."""
        if self._missed:
            missed, self._missed = self._missed, 0
            first = self._queue[0]
            oldest = None if isinstance(first, FailedEvent) else first.seq
            raise OutputLostError(
                f"{missed} events were dropped because they were not taken in time",
                after_seq=(oldest or missed + 1) - missed - 1,
                oldest_seq=oldest,
            )
        while not self._queue:
            if self._over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        event = self._queue.popleft()
        if isinstance(event, ClosedEvent | FailedEvent):
            self._over = True
            self._log.remove(self)
        return event

    async def aclose(self) -> None:
        """Take no more events."""
        self._over = True
        self._queue.clear()
        self._log.remove(self)
