"""Whether a socket is read: when the messages are wanted, and when they can be afforded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .inbound_budget import InboundBudget

__all__ = ["Inlet", "Tap"]


class Tap(Protocol):
    """What can be read, or not: an asyncio transport."""

    def pause_reading(self) -> None:
        """Take nothing from the socket."""

    def resume_reading(self) -> None:
        """Take from the socket again."""

    def is_closing(self) -> bool:
        """Whether there is nothing to take any more."""


class Inlet:
    """One connection's way in.

    Args:
        tap: The transport.
        budget: Bytes of unfinished messages that the server holds, for all connections.
        patience: Seconds for which others wait for the rest of a message of this one.
        too_slow: Called when they have waited that long.
    """

    def __init__(
        self, tap: Tap, budget: InboundBudget, patience: float, too_slow: Callable[[], None]
    ) -> None:
        self._tap = tap
        self._budget = budget
        self._patience = patience
        self._too_slow = too_slow
        self._held_bytes = 0
        self._wanted = True
        self._affordable = True
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None

    def want(self, wanted: bool) -> None:
        """Say whether whoever takes the messages takes more of them."""
        self._wanted = wanted
        self._read_or_not()

    def count(self, held: int) -> None:
        """Note the bytes of messages that are unfinished, or finished and not handled yet."""
        if held or self._held_bytes:
            self._held_bytes = held
            self._budget.update(self, held)

    def close(self) -> None:
        """Hold nothing any more, and hold nobody up."""
        self.count(0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_or_not(self) -> None:
        reading = self._wanted and self._affordable
        if reading is self._reading or self._tap.is_closing():
            return
        self._reading = reading
        if reading:
            self._tap.resume_reading()
        else:
            self._tap.pause_reading()

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
