"""Freed memory, given back to the system after a client has moved much and then nothing.

What passed through a connection was freed long ago, and the allocator still keeps it: hundreds
of megabytes after a large answer. It belongs to a program of which the client is a part, so
this is modest: only after the connections of the process have carried so much that it is worth
it, only when none of them has carried anything for a while, once, in a thread. What the program
itself does meanwhile may then wait for a tenth of a second where half a gigabyte is given back.
``ClientOptions(give_back_memory=False)`` leaves it alone.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["QUIET_SECONDS", "WORTH_BYTES", "Carried", "MemoryReturn"]

WORTH_BYTES: Final = 32 * 1024 * 1024
"""Carried since memory was given back: as much as the allocator keeps at hand in any case."""
QUIET_SECONDS: Final = 10.0
"""Nothing carried for so long: between two steps of most programs it is far less, and two such
times leave a margin to the half minute after which memory shall be back."""
_NOTHING_BYTES: Final = 64 * 1024
"""Pings and looks at a status are no use of memory."""


class Carried:
    """Bytes that the connections of a process have carried. Pure."""

    def __init__(self) -> None:
        self.total = 0
        self._given_back_at = 0

    @property
    def is_worth_it(self) -> bool:
        """Whether there is so much to give back that it is worth the trouble."""
        return self.total - self._given_back_at >= WORTH_BYTES

    def given_back(self) -> None:
        """Start again."""
        self._given_back_at = self.total


_carried: Final = Carried()


def _trim() -> None:
    """Ask glibc for what it keeps. Other allocators have no such call, and keep less."""
    import ctypes  # only here, since most clients never carry so much

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _in_thread() -> None:
    threading.Thread(target=_trim, name="exec-client-idle-memory", daemon=True).start()


class MemoryReturn:
    """The part of one connection: counts what it carries, and looks whether that is over.

    Args:
        enabled: Whether to do anything.
        give_back: Gives memory back, and does not wait for it.
        carried: Shared by the connections of a process.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        give_back: Callable[[], None] = _in_thread,
        carried: Carried = _carried,
    ) -> None:
        self._enabled = enabled and sys.platform.startswith("linux")
        self._give_back = give_back
        self._carried = carried
        self._timer: asyncio.TimerHandle | None = None

    def carried(self, size: int) -> None:
        """Count a message, in or out."""
        if not self._enabled:
            return
        self._carried.total += size
        if self._timer is None and self._carried.is_worth_it:
            self._look_later()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(QUIET_SECONDS, self._look, self._carried.total)

    def _look(self, before: int) -> None:
        self._timer = None
        if not self._carried.is_worth_it:
            return  # another connection has done it
        if self._carried.total - before > _NOTHING_BYTES:
            self._look_later()
            return
        self._carried.given_back()
        self._give_back()

    def close(self) -> None:
        """The connection is over. Repeating it does nothing."""
        self._enabled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
