"""Watch over a delivery window: is it full, and does the peer answer its pings?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .delivery_window import DeliveryWindow

__all__ = ["DeliveryWatch"]

_PONG_SECONDS: Final = 5.0
"""How long a full window waits for a pong before the peer is suspected of sending none."""


def _nothing() -> None:
    pass


def _no_bytes() -> int:
    return 0


class DeliveryWatch:
    """A window and the timer that goes with it.

    Args:
        window: Bytes in flight above which producers hold back.
        unsent: Returns how many bytes the peer's system has not taken.
        on_room: Called when the window has room.
    """

    def __init__(self, window: int, unsent: Callable[[], int], on_room: Callable[[], None]) -> None:
        self.window = DeliveryWindow(window)
        self._unsent = unsent
        self._on_room = on_room
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self) -> None:
        """Something was sent: note when the window fills."""
        if self.window.full and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(
                _PONG_SECONDS, self._doubt_pongs, self.window.arrived
            )

    def look(self) -> None:
        """Something has arrived: tell the producers when the window has room again."""
        if self.window.full:
            self.watch()
        else:
            self._cancel_timer()
            self._on_room()

    def _doubt_pongs(self, arrived: int) -> None:
        # A peer that reads but answers no ping breaks the rules of WebSocket. It shall not
        # stand still for that: what its system has acknowledged counts as arrived.
        self._timer = None
        if self.window.arrived == arrived and not self._unsent():
            self.window.assume_arrived(0)
        self.look()

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        self._on_room = _nothing  # whom it belongs to refers to this, too
        self._unsent = _no_bytes
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
