"""Liveness of the other side of a connection: when to ask, and when to give it up. Pure.

A link that has died in between says nothing: what was sent into it is repeated for a quarter
of an hour. So a side that has heard nothing for a while sends a ping, which every peer
answers, and gives the connection up when nothing at all came for ``timeout``.

Silence counts only while this side could have heard something. Where it was stopped itself,
or its loop was blocked, it asks again first and leaves the answer a quarter of the time. The
clock is a monotonic one, which on Linux stands still while the machine is suspended.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

__all__ = ["Liveness", "Verdict"]

_ANSWER_PART: Final = 0.25
"""Of the timeout, for the answer to a ping: 5 s of 20."""
_LATE_PART: Final = 0.05
"""Of the timeout: a look that comes later than this was held up on this side, 1 s of 20."""


class Verdict(Enum):
    """Verdict of a look: ask, wait or give up."""

    WAIT = "wait"
    PING = "ping"
    GONE = "gone"


class Liveness:
    """One connection. All times are in seconds of one monotonic clock.

    Args:
        timeout: Silence after which the peer is gone; 0 for never.
        interval: Silence after which a ping is sent; half of ``timeout`` if that is less.
        now: The time.

    Attributes:
        due: When to look next.
    """

    __slots__ = ("_asked_at", "_heard_at", "_interval", "_pinged_at", "_seen_at", "_timeout", "due")

    def __init__(self, timeout: float, interval: float, now: float) -> None:
        self._timeout = timeout
        self._interval = min(interval, timeout / 2) if timeout else interval
        self._heard_at = self._seen_at = self._pinged_at = now
        self._asked_at: float | None = None  # the first ping since something was heard
        self.due = now + self._interval

    def heard(self, at: float) -> None:
        """Note that bytes came from the other side."""
        if at > self._heard_at:
            self._heard_at = at

    def seen(self, at: float) -> None:
        """The peer was there then, though nothing was read of it: this side does not read now.

        Pings go on, for the peer may hear nothing else of this side.
        """
        if at > self._seen_at:
            self._seen_at = at

    def look(self, now: float) -> Verdict:
        """Return what to do now; to be called when it is ``due``."""
        if self._asked_at is not None and (
            self._heard_at >= self._asked_at
            or now - self.due > self._timeout * _LATE_PART  # we were away: ask again
        ):
            self._asked_at = None
        if self._asked_at is None:
            if now < self._heard_at + self._interval:
                self.due = self._heard_at + self._interval
                return Verdict.WAIT
            self._asked_at = now
            return self._ping(now)
        if now >= self._gone_at:
            return Verdict.GONE
        if now >= self._pinged_at + self._interval:
            return self._ping(now)
        return self._wait(Verdict.WAIT)

    def _ping(self, now: float) -> Verdict:
        self._pinged_at = now
        return self._wait(Verdict.PING)

    def _wait(self, verdict: Verdict) -> Verdict:
        self.due = min(self._gone_at, self._pinged_at + self._interval)
        return verdict

    @property
    def _gone_at(self) -> float:
        """Time to give up at, once a ping was sent."""
        if not self._timeout or self._asked_at is None:
            return math.inf
        alive_at = max(self._heard_at, self._seen_at)
        return max(alive_at + self._timeout, self._asked_at + self._timeout * _ANSWER_PART)
