"""Limit for live output while its client has to catch up first.

After a resume, events flow before the client has read what it missed. It has to keep them
until then, and clients keep 256 events and 1 MiB of a process: of one that writes much, they
would give up following it. So a process is held up before that, until an answer has gone out
that reaches to where the live events began. A client that never reads is waited for a while.

A client that asks for it gets no live events before it has caught up. What happens meanwhile is
kept for its next page, and the process is held up at the same point: for as long as the client
pages, however slow its link or its reader is, as a slow reader of live output would hold it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["FIRST_PAGE_SECONDS", "MAX_BYTES", "MAX_EVENTS", "WAIT_SECONDS", "CatchUpThrottle"]

MAX_BYTES: Final = 512 * 1024
"""Live output after which a process is held up; with one more piece of 256 KiB from each of
its streams it is what clients keep."""
MAX_EVENTS: Final = 128
"""The same in events."""
WAIT_SECONDS: Final = 5.0
"""For the read. Clients of the protocol read at once, and a round trip does not take so long."""
FIRST_PAGE_SECONDS: Final = 30.0
"""For the first page, by which a client shows that it follows this process: as long as its
recovery may take. Of one that nobody follows the output is kept as for a detached session."""

_EVERYTHING: Final = 2**64
"""Beyond every number: only ``release`` ends that."""


def _nobody() -> None:
    pass


class CatchUpThrottle:
    """Live output of one process since its session was resumed.

    Args:
        on_room: Called when the process may go on.
    """

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._on_room = on_room
        self._missing_to = 0
        self._bytes = 0
        self._events = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether the client has to catch up before it gets more."""
        return self.waiting and (self._bytes >= MAX_BYTES or self._events >= MAX_EVENTS)

    @property
    def waiting(self) -> bool:
        """Whether the client has to catch up at all."""
        return bool(self._missing_to)

    def attached(self, next_seq: int) -> None:
        """A connection gets the events from ``next_seq`` on, and has to read those before."""
        self.release()
        self._bytes = self._events = 0
        self._missing_to = next_seq - 1
        if self._missing_to:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WAIT_SECONDS, self.release)

    def hold(self) -> None:
        """A connection gets events only once its client has read all of those before."""
        self.release()
        self._bytes = self._events = 0
        self._missing_to = _EVERYTHING
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(FIRST_PAGE_SECONDS, self.release)

    def asked(self) -> None:
        """The client has asked for a page."""
        if self._timer is not None and self._missing_to == _EVERYTHING:
            self._timer.cancel()
            self._timer = None

    def happened(self, size: int) -> None:
        """There was an event, sent or kept for a page."""
        if self._missing_to:
            self._bytes += size
            self._events += 1

    def answered(self, through: int) -> None:
        """The client got what there is up to this number."""
        if self._missing_to and through >= self._missing_to:
            self.release()

    def release(self) -> None:
        """Hold nothing up: it has caught up, or there is no client."""
        was_waiting, self._missing_to = self.waiting, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if was_waiting:
            self._on_room()

    def close(self) -> None:
        """Release for the last time, and drop the callback."""
        self.release()
        self._on_room = _nobody
