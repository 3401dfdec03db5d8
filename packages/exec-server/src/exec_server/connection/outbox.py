"""Messages to frames, in their order: whole, in several frames, or piece by piece.

A message whose pieces are made while it is sent cannot be overtaken on a WebSocket. What is
to be sent meanwhile, whole or in pieces of its own, is held here and follows it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from websockets.server import ServerProtocol

from .flow import FlowWindow

__all__ = ["Outbox"]

_FRAGMENT_BYTES: Final = 8 * 1024 * 1024
"""Payload of one frame: real clients refuse frames above 16 MiB."""


_WHOLE: Final = object()
"""Instead of whose piece it is: a message of its own."""


@dataclass(frozen=True, slots=True)
class _Held:
    data: bytes
    of: object
    last: bool


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
        self._under_way: object | None = None  # whose pieces
        self._held: deque[_Held] = deque()  # empty while nothing is under way
        self.held_bytes = 0

    def send(self, message: bytes) -> bool:
        """Send a message, or hold it. Returns whether a watermark went with it."""
        if self._under_way is not None:
            self._hold(_Held(message, _WHOLE, last=True))
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

    def send_piece(self, piece: bytes, *, last: bool, of: object) -> bool:
        """Send or hold a part of a message, the first unless one is under way. As ``send``.

        Args:
            piece: At most as long as a frame may be.
            last: It completes the message; what was held follows.
            of: Whose message; each has one at a time.
        """
        if self._under_way is not None and self._under_way is not of:
            self._hold(_Held(piece, of, last))
            return False
        self._send_part(piece, last=last, of=of)
        return self._release()

    def _send_part(self, piece: bytes, *, last: bool, of: object) -> None:
        if self._under_way is None:
            self._protocol.send_text(piece, fin=last)
        else:
            self._protocol.send_continuation(piece, fin=last)
        self._under_way = None if last else of

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self.held_bytes += len(held.data)

    def _release(self) -> bool:
        """Send what was held, in its order, until pieces are under way again."""
        marked = False
        while self._held and self._under_way is None:
            first = self._held.popleft()
            self.held_bytes -= len(first.data)
            if first.of is _WHOLE:
                marked |= self.send(first.data)
            else:
                self._send_part(first.data, last=first.last, of=first.of)
                self._send_further_parts()
        return marked

    def _send_further_parts(self) -> None:
        """Send what is held of the message under way; everything else keeps its place."""
        rest: deque[_Held] = deque()
        for held in self._held:
            if self._under_way is not None and held.of is self._under_way:
                self.held_bytes -= len(held.data)
                self._send_part(held.data, last=held.last, of=held.of)
            else:
                rest.append(held)
        self._held = rest

    def clear(self) -> None:
        """Drop what is held: nothing can be sent any more."""
        self._held.clear()
        self.held_bytes = 0
