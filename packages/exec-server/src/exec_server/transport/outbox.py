"""Messages to frames, in their order: whole, in several frames, slice by slice, or in pieces.

A message that is made while it is sent cannot be overtaken on a WebSocket. What is to be sent
meanwhile, of whatever kind, is held here and follows it. Slices are taken by us when there is
room, and nothing of them is made before; pieces come when somebody has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from websockets.server import ServerProtocol

from .delivery_window import DeliveryWindow

__all__ = ["Outbox"]

_FRAME_BYTES: Final = 1024 * 1024
"""Payload of one frame; longer messages have several, so that a peer reads the first while the
others are made. Shorter frames cost a client more than that gains. Real ones refuse frames above
16 MiB."""


_WHOLE: Final = object()
"""Instead of whose piece it is: a message of its own."""


@dataclass(frozen=True, slots=True)
class _Held:
    data: bytes
    of: object
    last: bool


class _Sliced:
    """A message in slices."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: Iterator[bytes], size: int) -> None:
        self.parts = parts
        self.size = size


def _nothing() -> None:
    pass


class Outbox:
    """Gives messages to the protocol and counts them.

    Pieces are not counted: nothing of them is kept until it has arrived. So the positions of
    the messages behind them are known before the last piece is.

    Args:
        protocol: Makes frames.
        window: Counts what is sent.
        flush: Sends the frames that the protocol has made.

    Attributes:
        held_bytes: Length of the messages that wait for a last piece or slice, and of the one
            in slices that is under way.
    """

    def __init__(
        self, protocol: ServerProtocol, window: DeliveryWindow, flush: Callable[[], None]
    ) -> None:
        self._protocol = protocol
        self._window = window
        self._flush = flush
        self._under_way: object | None = None  # whose pieces
        self._next_slice: bytes | None = None
        self._held: deque[_Held | _Sliced] = deque()  # empty while nothing is under way
        self.held_bytes = 0

    def send(self, message: bytes) -> bool:
        """Send a message, or hold it. Returns whether a watermark went with it."""
        if self._under_way is not None:
            self._hold(_Held(message, _WHOLE, last=True))
            return False
        self._send_frames(message, first=True, last=True)
        return self._count(len(message))

    def _send_frames(self, part: bytes, *, first: bool, last: bool) -> None:
        """Send what is the beginning, the end, both or neither of a message."""
        if first and last and len(part) <= _FRAME_BYTES:
            self._protocol.send_text(part)  # nearly always; flushed by who sends
            return
        view = memoryview(part)
        end = 0
        while end < len(part) or not end:
            payload = view[end : end + _FRAME_BYTES]
            end += _FRAME_BYTES
            fin = last and end >= len(part)
            if first:
                self._protocol.send_text(payload, fin=fin)
            else:
                self._protocol.send_continuation(payload, fin=fin)
            first = False
            self._flush()

    @property
    def slicing(self) -> bool:
        """Whether the next slice of a message is to be sent; see ``send_slice``."""
        return type(self._under_way) is _Sliced

    def send_slices(self, parts: Iterator[bytes], size: int) -> None:
        """Send the first slice of a message, or hold all of it. The rest has to be asked for.

        Args:
            parts: What it consists of, two at least.
            size: Bytes of all together, or less.
        """
        sliced = _Sliced(parts, size)
        self.held_bytes += size
        if self._under_way is None:
            self._begin(sliced)
        else:
            self._held.append(sliced)

    def _begin(self, sliced: _Sliced) -> None:
        self._send_frames(next(sliced.parts), first=True, last=False)
        self._under_way = sliced
        self._next_slice = next(sliced.parts)

    def send_slice(self) -> bool:
        """Send the next slice of the message under way. As ``send``."""
        sliced = self._under_way
        if type(sliced) is not _Sliced or self._next_slice is None:
            return False
        piece, self._next_slice = self._next_slice, next(sliced.parts, None)
        if self._next_slice is not None:
            self._send_frames(piece, first=False, last=False)
            return False
        self._send_frames(piece, first=False, last=True)
        self._under_way = None
        self.held_bytes -= sliced.size
        marked = self._count(sliced.size)
        return self._release() or marked

    def _count(self, size: int) -> bool:
        watermark = self._window.count(size)
        if watermark is None:
            return False
        self._protocol.send_ping(watermark)
        return True

    def ask_arrived(self) -> None:
        """Send a watermark now, unless one is under way."""
        watermark = self._window.mark()
        if watermark is not None:
            self._protocol.send_ping(watermark)

    def send_piece(self, piece: bytes, *, last: bool, of: object) -> bool:
        """Send or hold a part of a message, the first unless one is under way. As ``send``.

        Args:
            piece: The next part, of any length.
            last: It completes the message; what was held follows.
            of: Whose message; each has one at a time.
        """
        if self._under_way is not None and self._under_way is not of:
            self._hold(_Held(piece, of, last))
            return False
        self._send_part(piece, last=last, of=of)
        return self._release()

    def _send_part(self, piece: bytes, *, last: bool, of: object) -> None:
        self._send_frames(piece, first=self._under_way is None, last=last)
        self._under_way = None if last else of

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self.held_bytes += len(held.data)

    def _release(self) -> bool:
        """Send what was held, in its order, until pieces are under way again."""
        marked = False
        while self._held and self._under_way is None:
            first = self._held.popleft()
            if isinstance(first, _Sliced):
                self._begin(first)
                break
            self.held_bytes -= len(first.data)
            if first.of is _WHOLE:
                marked |= self.send(first.data)
            else:
                self._send_part(first.data, last=first.last, of=first.of)
                self._send_further_parts()
        return marked

    def _send_further_parts(self) -> None:
        """Send what is held of the message under way; everything else keeps its place."""
        rest: deque[_Held | _Sliced] = deque()
        for held in self._held:
            under_way = self._under_way
            if under_way is not None and isinstance(held, _Held) and held.of is under_way:
                self.held_bytes -= len(held.data)
                self._send_part(held.data, last=held.last, of=held.of)
            else:
                rest.append(held)
        self._held = rest

    def clear(self) -> None:
        """Drop what is held: nothing can be sent any more."""
        self._held.clear()
        if self.slicing:  # its parts hold output
            self._under_way = self._next_slice = None
        self.held_bytes = 0
        self._flush = _nothing  # whose it is refers to this, too
