"""Deadlines that stand still for as long as an executor is heard.

They are for getting an answer and for silence, not for the time that its bytes take on a slow
link. There is a bound all the same: an executor that trickles is not heard, and neither is one
that sends without end and never answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

__all__ = [
    "LEAST_BYTES",
    "MOST_BYTES",
    "MOST_SECONDS",
    "STEP_SECONDS",
    "Heard",
    "Hearing",
    "patience",
]

STEP_SECONDS: Final = 2.0
"""How often is looked; a shorter pause of a link is no silence."""
LEAST_BYTES: Final = 2 * 1024
"""In a step. A link that carries less than 1 KiB/s carries no session."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Without an answer: four times what a server has in flight on a connection, so what an answer
may have in front of it, or the largest message that there is."""
MOST_SECONDS: Final = 600.0
"""The same in time: what a server has in flight needs no longer at 28 KB/s."""


class Heard(Protocol):
    """A connection, as its deadlines see it."""

    @property
    def received(self) -> int:
        """Bytes that have come over it."""

    @property
    def answers(self) -> int:
        """Answers among them."""

    @property
    def held_back(self) -> bool:
        """Whether this side does not read it, for want of room."""


class Hearing:
    """Tells, step by step, whether a deadline should move on. Pure."""

    def __init__(self, received: int, answers: int) -> None:
        self._received = received
        self._answers = answers
        self._left = MOST_BYTES
        self._seconds_left = MOST_SECONDS

    def step(self, received: int, answers: int) -> bool:
        """Return whether enough came since the last step."""
        new, self._received = received - self._received, received
        if answers != self._answers:
            self._answers = answers
            self._left, self._seconds_left = MOST_BYTES, MOST_SECONDS
        self._left -= new
        self._seconds_left -= STEP_SECONDS
        return new >= LEAST_BYTES and self._left > 0 and self._seconds_left > 0


@asynccontextmanager
async def patience(connection: Heard, *limits: asyncio.Timeout) -> AsyncIterator[None]:
    """Move ``limits`` on while ``connection`` is heard in the block."""

    async def watch() -> None:
        hearing = Hearing(connection.received, connection.answers)
        while True:
            await asyncio.sleep(STEP_SECONDS)
            heard = hearing.step(connection.received, connection.answers)
            if not heard and not connection.held_back:
                continue
            for limit in limits:
                when = limit.when()
                if when is None or limit.expired():
                    return
                limit.reschedule(when + STEP_SECONDS)

    watcher = asyncio.get_running_loop().create_task(watch(), name="exec-client-patience")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])
