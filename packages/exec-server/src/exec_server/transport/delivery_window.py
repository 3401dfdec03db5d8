"""Window of bytes that were sent and have not arrived. Pure.

A socket takes bytes long before the peer has them: when the link dies, megabytes that were
sent never arrive. But a WebSocket peer answers a ping only after it has read everything in
front of it, so a ping that carries the number of bytes sent so far tells, with any peer,
what has arrived. That bounds what is in flight, and output is kept until it has arrived.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["DeliveryWindow"]

_WATERMARK: Final = struct.Struct(">4sQ")
_MAGIC: Final = b"mark"
"""Tells our pongs from those that a peer sends unasked."""

_PING_EVERY_BYTES: Final = 1024 * 1024
"""Less than this can be in flight without anybody knowing: as much as is always kept."""


class DeliveryWindow:
    """Bytes sent on one connection, and how many of them have arrived.

    Args:
        window: Bytes in flight above which producers hold back.
    """

    __slots__ = ("_last_mark", "_ping_every", "_window", "arrived", "sent")

    def __init__(self, window: int) -> None:
        self._window = window
        # Less than the window, or it could stay full when the last ping was answered.
        self._ping_every = min(_PING_EVERY_BYTES, window // 2)
        self._last_mark = 0
        self.sent = 0
        self.arrived = 0

    @property
    def full(self) -> bool:
        """Whether more is in flight than should be."""
        return self.sent - self.arrived >= self._window

    def count(self, size: int) -> bytes | None:
        """Count a message as sent.

        Returns:
            The payload of a ping to send behind it, or ``None`` when none is due. One is due
            when the window fills, or nobody would look whether the peer answers them at all.
        """
        was_full = self.full
        self.sent += size
        filled = self.full and not was_full
        if self.sent - self._last_mark < self._ping_every and not filled:
            return None
        self._last_mark = self.sent
        return _WATERMARK.pack(_MAGIC, self.sent)

    def mark(self) -> bytes | None:
        """Return the payload of a ping that tells whether all of it has arrived.

        Nothing while one is under way: it comes back, and there is another occasion.
        """
        if self._last_mark > self.arrived or self.sent <= self.arrived:
            return None
        self._last_mark = self.sent
        return _WATERMARK.pack(_MAGIC, self.sent)

    def pong(self, payload: bytes) -> bool:
        """Take a pong. Returns whether it moved the watermark; a forged one never goes ahead."""
        if len(payload) != _WATERMARK.size:
            return False
        magic, mark = _WATERMARK.unpack(payload)
        if magic != _MAGIC or not self.arrived < mark <= self._last_mark:
            return False
        self.arrived = mark
        return True

    def assume_arrived(self, unsent: int) -> None:
        """Count as arrived what the peer's system has: no pong says more.

        Args:
            unsent: Bytes that it has not acknowledged, with everything around the messages.
        """
        self.arrived = max(self.arrived, self.sent - unsent)
