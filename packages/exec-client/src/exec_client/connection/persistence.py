"""Limits of repetition: of calls that fail in the same way, and of resumptions. Pure.

A lost connection is nobody's fault, and what it interrupted is tried again as often as it takes.
An answer that is no message is the executor's, and asking again brings the same: after three
times that is the call's result. And a session that is resumed and lost again, with nothing done in
between, is resumed at a slower and slower pace.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST_PAUSE", "SAME_FAILURES", "STABLE_SECONDS", "Pauses", "SameFailure"]

SAME_FAILURES: Final = 3
"""The first may be a fault on the way; that it comes back may still be chance."""
LONGEST_PAUSE: Final = 5.0
"""Seconds: a fifth of the time for a recovery, so that there is more than one attempt in it."""
STABLE_SECONDS: Final = 10.0
"""A connection that lasted so long was good, whether or not anybody used it."""


class SameFailure:
    """The failures of one call. Connections that were just lost are none."""

    __slots__ = ("_count", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._count = 0

    def add(self, text: str) -> bool:
        """Count a failure. Returns whether it is the same for the last time."""
        self._count = self._count + 1 if text == self._text else 1
        self._text = text
        return self._count >= SAME_FAILURES


class Pauses:
    """Pauses before a session is resumed: none after a good connection.

    Args:
        first: Seconds after the first connection that was no good; doubled after each further one.
    """

    __slots__ = ("_bad", "_began", "_done", "_first")

    def __init__(self, first: float) -> None:
        self._first = first
        self._bad = 0
        self._began: float | None = None
        self._done = 0

    def resumed(self, now: float, done: int) -> None:
        """The session was resumed.

        Args:
            now: Loop time.
            done: Messages that the connection has brought so far.
        """
        self._began, self._done = now, done

    def lost(self, now: float, done: int) -> float:
        """The connection was lost. Returns the seconds to wait before the first attempt."""
        # The first connection of a session, or one that brought something: it was good.
        if self._began is None or done > self._done or now - self._began >= STABLE_SECONDS:
            self._bad = 0
            return 0.0
        self._bad += 1
        doubled: float = self._first * 2 ** min(self._bad - 1, 30)
        return min(doubled, LONGEST_PAUSE)
