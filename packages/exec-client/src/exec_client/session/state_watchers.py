"""Subscriptions to changes of the client's state."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from ..connection.states import ClientState, StateChange
from ..home import Home

__all__ = ["StateWatchers"]

_QUEUE: Final = 256
"""Changes that wait for one subscriber; the oldest goes first. Connections break seldom."""


class StateWatchers:
    """Subscribers of state changes."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._subscriptions: set[_Subscription] = set()
        self._changed = asyncio.Event()

    def publish(self, change: StateChange) -> None:
        """Tell everybody."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for subscription in list(self._subscriptions):
            subscription.push(change)
            if change.new in (ClientState.FAILED, ClientState.CLOSED):
                self._subscriptions.discard(subscription)

    async def wait_changed(self) -> None:
        """Wait for the next change. No change between a look at the state and this is missed."""
        await self._changed.wait()

    def subscribe(self, *, ended: bool) -> AsyncIterator[StateChange]:
        """Return every change from now on; nothing when the last one has ``ended`` it all."""
        self._home.check()
        subscription = _Subscription()
        if ended:
            subscription.over = True
        else:
            self._subscriptions.add(subscription)
        return subscription


class _Subscription(AsyncIterator[StateChange]):
    def __init__(self) -> None:
        self._queue: deque[StateChange] = deque(maxlen=_QUEUE)
        self._arrived = asyncio.Event()
        self.over = False

    def push(self, change: StateChange) -> None:
        self._queue.append(change)
        self._arrived.set()

    async def __anext__(self) -> StateChange:
        while not self._queue:
            if self.over:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        change = self._queue.popleft()
        self.over = change.new in (ClientState.FAILED, ClientState.CLOSED)
        return change
