"""What a session needs of the connection that it is attached to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Sender"]


class Sender(Protocol):
    """The way out to one peer: lossless, in order, with a point above which to hold back."""

    @property
    def full(self) -> bool:
        """Whether so much is unsent that producers should wait."""

    @property
    def sent(self) -> int:
        """Bytes sent so far."""

    @property
    def arrived(self) -> int:
        """How many of them the peer is known to have."""

    def send(self, message: bytes) -> None:
        """Queue one message. Never waits; a closed peer drops it."""

    def ask_arrived(self) -> None:
        """Ask what has arrived: ``arrived`` may be a megabyte behind."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once when there is room again, or when the peer is gone."""
