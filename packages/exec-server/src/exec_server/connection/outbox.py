"""Messages to frames, in their order: whole, in several frames, or piece by piece.

A message whose pieces are made while it is sent cannot be overtaken on a WebSocket. What is
to be sent meanwhile is held here and follows it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from websockets.server import ServerProtocol

from .flow import FlowWindow

__all__ = ["Outbox"]

_FRAGMENT_BYTES: Final = 8 * 1024 * 1024
"""Payload of one frame: real clients refuse frames above 16 MiB."""


class Outbox:
    """Gives messages to the protocol and counts them.

    Pieces are not counted: nothing of them is kept until it has arrived. So the positions of
    the messages behind them are known before the last piece is.

    Args:
        protocol: Makes frames.
        window: Counts what is sent.

    Attributes:
        held_bytes: Length of the messages that wait for a last piece.
    """

    def __init__(self, protocol: ServerProtocol, window: FlowWindow) -> None:
        self._protocol = protocol
        self._window = window
        self._in_pieces = False
        self._held: deque[bytes] = deque()
        self.held_bytes = 0

    def send(self, message: bytes) -> bool:
        """Send a message, or hold it. Returns whether a watermark went with it."""
        if self._in_pieces:
            self._held.append(message)
            self.held_bytes += len(message)
            return False
        if len(message) <= _FRAGMENT_BYTES:
            self._protocol.send_text(message)
        else:
            self._send_fragments(message)
        watermark = self._window.count(len(message))
        if watermark is None:
            return False
        self._protocol.send_ping(watermark)
        return True

    def _send_fragments(self, message: bytes) -> None:
        view = memoryview(message)
        self._protocol.send_text(view[:_FRAGMENT_BYTES], fin=False)
        last = (len(message) - 1) // _FRAGMENT_BYTES * _FRAGMENT_BYTES
        for start in range(_FRAGMENT_BYTES, last, _FRAGMENT_BYTES):
            self._protocol.send_continuation(view[start : start + _FRAGMENT_BYTES], fin=False)
        self._protocol.send_continuation(view[last:], fin=True)

    def send_piece(self, piece: bytes, *, last: bool) -> bool:
        """Send a part of a message, the first unless one is under way. Returns as ``send``.

        Args:
            piece: At most as long as a frame may be.
            last: It completes the message; what was held follows.
        """
        if self._in_pieces:
            self._protocol.send_continuation(piece, fin=last)
        else:
            self._protocol.send_text(piece, fin=last)
        self._in_pieces = not last
        marked = False
        if last:
            held, self._held = self._held, deque()
            self.held_bytes = 0
            for message in held:
                marked |= self.send(message)
        return marked

    def clear(self) -> None:
        """Drop what is held: nothing can be sent any more."""
        self._held.clear()
        self.held_bytes = 0
