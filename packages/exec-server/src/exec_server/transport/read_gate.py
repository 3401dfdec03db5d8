"""Gate that stops and resumes reading a socket, by what memory allows; see ``waits``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .inbound_budget import InboundBudget
from .waits import may_read

__all__ = ["ReadGate", "Tap"]


class Tap(Protocol):
    """An asyncio transport that can stop and resume reading."""

    def pause_reading(self) -> None:
        """Take nothing from the socket."""

    def resume_reading(self) -> None:
        """Take from the socket again."""

    def is_closing(self) -> bool:
        """Whether there is nothing to take any more."""


class ReadGate:
    """One connection's way in.

    Args:
        tap: The transport.
        budget: Bytes of unfinished messages that the server holds, for all connections.
        patience: Seconds for which others wait for the rest of a message of this one.
        too_slow: Called when they have waited that long.
        on_change: Called when the socket is read again, or no longer.

    Attributes:
        reading: Whether the socket is read.
    """

    def __init__(
        self,
        tap: Tap,
        budget: InboundBudget,
        patience: float,
        too_slow: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._tap = tap
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
        """Say whether too many requests wait to be handled."""
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
        """Hold nothing any more, and hold nobody up. What still comes is read and dropped."""
        self.count(0, 0)
        self.set_crowded(crowded=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_or_not(self) -> None:
        reading = may_read(affordable=self._affordable, crowded=self._crowded)
        if reading is self.reading or self._tap.is_closing():
            return
        self.reading = reading
        if reading:
            self._tap.resume_reading()
        else:
            self._tap.pause_reading()
        self._on_change()

    # ------------------------------------------------------------------ the budget calls

    def hold_inflow(self) -> None:
        """The budget is used up: the rest of the message has to wait."""
        self._affordable = False
        self._read_or_not()

    def let_inflow(self) -> None:
        """There is room again."""
        self._affordable = True
        self._read_or_not()

    def favoured(self) -> None:
        """Others wait for the message that is coming in here."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._budget.is_held_up_by(self):
            self._too_slow()
        elif self._budget.is_favourite(self):
            self.favoured()
