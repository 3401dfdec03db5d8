"""Gate that stops and resumes reading a socket, by what memory allows; see ``waits``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .inbound_budget import InboundBudget
from .waits import may_read

__all__ = ["PausableTransport", "ReadGate"]


class PausableTransport(Protocol):
    """An asyncio transport that can stop and resume reading."""

    def pause_reading(self) -> None:
        """Stop reading the socket."""

    def resume_reading(self) -> None:
        """Read the socket again."""

    def is_closing(self) -> bool:
        """Whether the socket is closed, or about to be."""


class ReadGate:
    """One connection's way in.

    Args:
        transport: Of the socket.
        budget: Bytes of unfinished messages that the server holds, for all connections.
        patience: Seconds for which others wait for the rest of a message of this one.
        too_slow: Called when they have waited that long.
        on_change: Called when the socket is read again, or no longer.

    Attributes:
        reading: Whether the socket is read.
    """

    def __init__(
        self,
        transport: PausableTransport,
        budget: InboundBudget,
        patience: float,
        too_slow: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._patience = patience
        self._too_slow = too_slow
        self._on_change = on_change
        self._held = (0, 0)
        self._crowded = False
        self._affordable = True
        self.reading = True
        self._timer: asyncio.TimerHandle | None = None

    def set_crowded(self, *, crowded: bool) -> None:
        """Note whether too many requests wait to be handled; nothing is read while they do."""
        if crowded is not self._crowded:
            self._crowded = crowded
            self._tell_budget()
            self._read_or_not()

    def count(self, unfinished: int, waiting: int) -> None:
        """Note the bytes of messages that are unfinished, and of those that wait."""
        held = (unfinished, waiting)
        if held != self._held:
            self._held = held
            self._tell_budget()

    def _tell_budget(self) -> None:
        unfinished, waiting = self._held
        if self._crowded:  # no end of a message is to be expected from here
            unfinished, waiting = 0, unfinished + waiting
        self._budget.update(self, unfinished, waiting)

    def close(self) -> None:
        """Give the budget back. Bytes that still come are read and dropped."""
        self.count(0, 0)
        self.set_crowded(crowded=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_or_not(self) -> None:
        reading = may_read(affordable=self._affordable, crowded=self._crowded)
        if reading is self.reading or self._transport.is_closing():
            return
        self.reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
        self._on_change()

    # ------------------------------------------------------------------ the budget calls

    def pause(self) -> None:
        """Stop reading: the budget is used up."""
        self._affordable = False
        self._read_or_not()

    def resume(self) -> None:
        """Read again: the budget has room."""
        self._affordable = True
        self._read_or_not()

    def preferred(self) -> None:
        """Start the clock for this connection's message: other connections wait for it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._budget.is_held_up_by(self):
            self._too_slow()
        elif self._budget.is_preferred(self):
            self.preferred()
