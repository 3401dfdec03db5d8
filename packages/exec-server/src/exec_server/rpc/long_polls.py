"""The reads of a connection that wait for news."""

from __future__ import annotations

from typing import Protocol

__all__ = ["LongPoll", "LongPolls"]


class LongPoll(Protocol):
    """A read that waits."""

    def answer(self) -> None:
        """Answer with what there is."""


class LongPolls:
    """The long polls of a connection, oldest first; too many and the oldest is answered."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._polls: dict[LongPoll, None] = {}

    def add(self, poll: LongPoll) -> None:
        """Count a poll in."""
        self._polls[poll] = None
        if len(self._polls) > self._limit:
            next(iter(self._polls)).answer()

    def discard(self, poll: LongPoll) -> None:
        """Count it out."""
        self._polls.pop(poll, None)
