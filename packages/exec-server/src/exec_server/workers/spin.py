"""Looking for an answer a little longer before the event loop goes to sleep.

A worker answers most requests in some 30 µs. To wake a processor that sleeps takes as long
again, in a virtual machine longer, and what it goes on with is out of its caches. So while
answers come at once, the loop looks for the next one without sleeping. Everything else that
is due is done as always; what is lost is the time of a processor that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from ..runtime.shortcuts import uses

__all__ = ["SPIN_SECONDS", "Spin"]

SPIN_SECONDS: Final = 0.0002
"""For one answer. Most that come at all within a millisecond come within this."""


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Spin:
    """Keeps the running loop awake for the answers of one worker.

    Args:
        is_due: Whether an answer is still to come.
    """

    __slots__ = ("_alone", "_is_due", "_loop", "_prompt", "_until")

    def __init__(self, is_due: Callable[[], bool]) -> None:
        self._is_due = is_due
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._prompt = False
        # The worker could not answer while this looks.
        self._alone = _processors() < 2 or not uses("spin")

    def asked(self, now: float) -> None:
        """A request has been sent, at this time of the loop."""
        if self._prompt:
            if not self._until:
                self._loop.call_soon(self._look)
            self._until = now + SPIN_SECONDS

    def answered(self, seconds: float) -> None:
        """An answer has come, so long after the last request or answer."""
        self._prompt = seconds < SPIN_SECONDS and not self._alone

    def _look(self) -> None:
        # As long as something is to be done soon, the loop does not sleep.
        if self._is_due() and self._loop.time() < self._until:
            self._loop.call_soon(self._look)
        else:
            self._until = 0.0
