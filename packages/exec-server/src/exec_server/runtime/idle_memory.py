"""Freed memory, given back to the system when the program has little to do.

The allocator keeps what was freed for what is needed next, and after a burst that is most of
what the burst took: hundreds of megabytes, for as long as the server runs. Asking for it back
costs a tenth of a second for each half gigabyte, during which whoever allocates may wait, so it
is done in a thread, once the work is over, and only if there was any.

This is for the program. Who embeds a server decides about the memory of its own process.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LOOK_SECONDS", "QuietAfterWork", "give_back_when_idle"]

LOOK_SECONDS: Final = 5.0
"""Between two looks. The first that can find a burst over comes after two of them, which leaves
most of the half minute in which memory shall be back, and one look costs some microseconds."""
_CALM_SECONDS: Final = 0.1
"""Processor time in between with which the program counts as calm: a fiftieth. Then hardly
anybody is there who could be held up, and keepalives and health checks do not hide it."""
_WORTH_SECONDS: Final = 0.1
"""Processor time since memory was given back that makes it worth doing again: freeing much
takes having filled it. So a program that only waits does nothing at all."""


class QuietAfterWork:
    """Tells from processor time when a program that has worked is calm. Pure.

    Args:
        used: Seconds of processor time so far.
    """

    def __init__(self, used: float) -> None:
        self._seen = used
        self._rested = used

    def look(self, used: float) -> bool:
        """Return whether it has worked since ``rest``, and not since the last look."""
        recent, self._seen = used - self._seen, used
        return recent <= _CALM_SECONDS and used - self._rested >= _WORTH_SECONDS

    def rest(self, used: float) -> None:
        """Note that memory was given back, and the time that it took."""
        self._seen = self._rested = used


def _trim() -> None:
    """Ask glibc for what it keeps. Other allocators have no such call, and keep less."""
    import ctypes  # 10 ms, which a server that has just started has better use for

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def give_back_when_idle(
    give_back: Callable[[], None] = _trim, *, look_seconds: float = LOOK_SECONDS
) -> None:
    """Look again and again, until it is cancelled. On systems other than Linux it returns.

    Args:
        give_back: Gives memory back; runs in a thread.
        look_seconds: Between two looks.
    """
    if not sys.platform.startswith("linux"):
        return
    quiet = QuietAfterWork(time.process_time())
    while True:
        await asyncio.sleep(look_seconds)
        if quiet.look(time.process_time()):
            await asyncio.to_thread(give_back)
            quiet.rest(time.process_time())
