"""Room for open files: executors take 128 of a connection, and refuse more.

Whoever opens another one waits until there is room. That must not end in a circle, where all
wait for each other with files in their hands:

* Calls that open a file for themselves (a transfer, ``read_bytes``) hold one at a time and close
  it without anybody's help. Some room is kept for them.
* A file that somebody has open for reading gives its room up to others while nobody reads from it:
  the next read opens it again.
* What is left are files that callers write to. Whoever needs room beyond these waits for a while,
  and then is told that there are too many open files.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from exec_server_protocol.limits import FILE_HANDLES_PER_CONNECTION

__all__ = ["HandleSlots", "Slot"]

OWN_SLOTS: Final = 32
"""Kept for calls that open files for themselves: enough for 8 transfers of 4 files each."""

SHARED_SLOTS: Final = FILE_HANDLES_PER_CONNECTION - OWN_SLOTS
"""For files that callers have open."""

EVICT_AFTER_SECONDS: Final = 0.1
"""For which a reader was not used, before it gives up its room to others: a few round trips, so
that one which is about to be used is left alone mostly."""

GIVE_UP_SECONDS: Final = 30.0
"""For which nobody was done, before an open is refused. Longer than it takes to notice that a link
has gone; a caller that keeps files open for longer has to get an error, not to wait."""


class Slot:
    """Room for one open file. Given back with ``release``, which may be repeated."""

    def __init__(self, slots: HandleSlots, *, own: bool) -> None:
        self._slots = slots
        self._own = own
        self._held = True

    def release(self) -> None:
        """Give it back."""
        if self._held:
            self._held = False
            self._slots._released(own=self._own)


class HandleSlots:
    """The room of one session. The number of waiters is that of calls under way."""

    def __init__(self) -> None:
        self._free = {True: OWN_SLOTS, False: SHARED_SLOTS}
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}
        self._readers: dict[Callable[[], bool], float] = {}  # and when it was used last
        self._given = 0  # how often room was given back: while that goes on there is hope

    def __repr__(self) -> str:
        return f"<HandleSlots {self._free[False]} and {self._free[True]} free>"

    async def take(self, *, own: bool) -> Slot:
        """Return room for a file, waiting for it. Cancelling this takes none.

        Args:
            own: The caller closes the file by itself, and waits for nobody meanwhile.

        Raises:
            OSError: With ``EMFILE``: there was no room, and nobody was done for a while.
        """
        if self._free[own] and not self._waiting[own]:
            self._free[own] -= 1
            return Slot(self, own=own)
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting[own].append(waiter)
        try:
            if own:  # the others close theirs without anybody's help, so this comes to an end
                await waiter
            else:
                await self._wait(waiter)
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._released(own=own)  # it was given at this very moment
            elif waiter in self._waiting[own]:
                self._waiting[own].remove(waiter)
            raise
        return Slot(self, own=own)

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        since, free_before = loop.time(), self._given
        while not waiter.done():
            evicted = self._evict(loop.time() - EVICT_AFTER_SECONDS)
            await asyncio.wait([waiter], timeout=EVICT_AFTER_SECONDS)
            if evicted or self._given != free_before:
                since, free_before = loop.time(), self._given
            elif not waiter.done() and loop.time() - since > GIVE_UP_SECONDS:
                # Callers write to all that are open, and may themselves wait for this one.
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _released(self, *, own: bool) -> None:
        self._given += 1
        self._free[own] += 1
        waiting = self._waiting[own]
        while self._free[own] and waiting:
            waiter = waiting.popleft()
            if not waiter.done():
                self._free[own] -= 1
                waiter.set_result(None)

    # ------------------------------------------------------------------ idle readers

    def used(self, evict: Callable[[], bool]) -> None:
        """Note that a reader was used just now.

        Args:
            evict: Closes its handle unless it is in use; returns whether it did.
        """
        self._readers.pop(evict, None)
        self._readers[evict] = asyncio.get_running_loop().time()

    def forget(self, evict: Callable[[], bool]) -> None:
        """Note that a reader holds no room any more."""
        self._readers.pop(evict, None)

    def _evict(self, until: float) -> bool:
        """Have the reader that was idle for longest give up its room, if it was since then."""
        for evict, used_at in list(self._readers.items()):
            if used_at > until:
                return False
            if evict():
                self._readers.pop(evict, None)
                return True
        return False
