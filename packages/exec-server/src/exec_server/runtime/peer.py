"""The way out to a peer, as those see it who have something to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

__all__ = ["Peer", "Sender"]


class Sender(Protocol):
    """The way out to one peer: lossless, in order, with a point above which to hold back."""

    @property
    def full(self) -> bool:
        """Whether so much is unsent, or in flight, that producers of notifications should wait."""

    @property
    def sent(self) -> int:
        """Bytes sent so far."""

    @property
    def arrived(self) -> int:
        """Number of bytes that the peer is known to have."""

    def send(self, message: bytes) -> None:
        """Queue one message. Never waits; a closed peer drops it."""

    def ask_arrived(self) -> None:
        """Ask what has arrived: ``arrived`` may be a megabyte behind."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once when there is room again, or when the peer is gone."""


class Peer(Sender, Protocol):
    """The transport under a connection."""

    @property
    def peer(self) -> str:
        """Address of the peer, for messages."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and end the connection."""

    def initialized(self) -> None:
        """The connection has its session."""

    def send_slices(self, parts: Iterator[bytes], size: int) -> None:
        """Queue one message that is made while it is sent; see ``Slices``."""

    def send_piece(self, piece: bytes, *, last: bool, of: object) -> None:
        """Send a part of a message; ``of`` says whose, and each has one message at a time."""

    @property
    def congested(self) -> bool:
        """Whether the next piece should wait."""

    def when_uncongested(self, callback: Callable[[], None]) -> None:
        """Call back once it need not wait any more, or when the peer is gone."""

    @property
    def answering(self) -> bool:
        """Whether an answer can leave; notifications may have to wait longer."""

    def when_answering(self, callback: Callable[[], None]) -> None:
        """Call back once it can, or when the peer is gone."""

    def set_crowded(self, *, crowded: bool) -> None:
        """Say whether so many requests wait to be handled that no more should be read."""

    def count_held(self) -> None:
        """Look again how many bytes wait to be handled: some have been, or will not be."""
