"""End of the frame that is coming in, so that little is read beyond it. Pure.

A frame costs time however short it is, and a read may bring tens of thousands of them, which are
all handled before anybody else has a turn. So no read brings more than a little beyond the end of
the frame that has begun: in a long frame it may bring as much as there is room for, and in a
crowd of short ones it brings a few hundred.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BEYOND_BYTES", "FrameEnds"]

BEYOND_BYTES: Final = 2048
"""At most 341 frames of six bytes, some milliseconds of work; ten requests of usual length, beside
which another turn of the event loop costs nothing to speak of."""

_END_OF_REQUEST: Final = b"\r\n\r\n"
_MASK_BYTES: Final = 4
_LENGTH_BYTES: Final = {126: 2, 127: 8}
"""Of the length that follows, by what stands in its place in the second byte."""


class FrameEnds:
    """Follows the bytes of one connection: the HTTP request, then frames of RFC 6455.

    It looks at lengths and at nothing else: what breaks the rules ends the connection elsewhere.

    Attributes:
        left: Bytes that are missing of the frame that has begun, as far as is known.
    """

    __slots__ = ("_head", "_in_request", "left")

    def __init__(self) -> None:
        self._in_request = True
        self._head = b""
        self.left = 0

    def came(self, data: bytes) -> None:
        """Take note of what was read."""
        at = 0
        if self._in_request:
            seen = len(self._head)
            end = (self._head + data).find(_END_OF_REQUEST)
            if end < 0:
                self._head = (self._head + data)[-len(_END_OF_REQUEST) + 1 :]
                return
            at = end + len(_END_OF_REQUEST) - seen
            self._in_request = False
            self._head = b""
        while at < len(data):
            if self.left:
                step = min(self.left, len(data) - at)
                self.left -= step
                at += step
                continue
            missing = _head_bytes(self._head) - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == _head_bytes(self._head):
                self.left = _payload_bytes(self._head)
                self._head = b""


def _head_bytes(head: bytes) -> int:
    """Return how long a header is, as far as its beginning tells."""
    if len(head) < 2:
        return 2
    mask = _MASK_BYTES if head[1] & 0x80 else 0
    return 2 + _LENGTH_BYTES.get(head[1] & 0x7F, 0) + mask


def _payload_bytes(head: bytes) -> int:
    short = head[1] & 0x7F
    extended = _LENGTH_BYTES.get(short, 0)
    return int.from_bytes(head[2 : 2 + extended], "big") if extended else short
