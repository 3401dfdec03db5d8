"""An event loop whose clock jumps to the next timer when nothing else is to be done.

For tests without real I/O: a real socket or child would be given no time at all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "run"]

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that never waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        """Return the virtual time, in seconds from 0."""
        return self._now

    def _run_once(self) -> None:
        loop: Any = self  # the base class keeps its lists to itself
        while loop._scheduled and loop._scheduled[0]._cancelled:
            loop._timer_cancelled_count -= 1
            heapq.heappop(loop._scheduled)._scheduled = False
        if not loop._ready and loop._scheduled:
            self._now = max(self._now, loop._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]  # not in the stubs


def run(main: Coroutine[Any, Any, T], *, limit: float = 3600.0) -> T:
    """Run a coroutine on a fresh loop with virtual time.

    Args:
        main: What to run.
        limit: Virtual seconds after which it is cancelled: a bound for every wait in it.

    Raises:
        TimeoutError: It took longer.
    """

    async def bounded() -> T:
        async with asyncio.timeout(limit):
            return await main

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(bounded())
