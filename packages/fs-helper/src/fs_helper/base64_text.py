"""Base64 in pieces, strictly.

The standard alphabet, padding required, no whitespace, unused bits zero: one text for each
content.
"""

from __future__ import annotations

import binascii

__all__ = ["Base64Collector", "Base64Error"]


class Base64Error(ValueError):
    """The text is not the one spelling of some bytes. Names no content."""


class Base64Collector:
    """Decodes a text that comes in pieces, cut anywhere, and keeps the bytes.

    The whole is kept in memory, because an invalid end has to be noticed before the file
    is touched. Once the text turns out to be invalid, or too long, what came so far is
    dropped and the rest is only counted.
    """

    def __init__(self, limit_bytes: int) -> None:
        """``limit_bytes`` is the most that the text may decode to."""
        self._limit_bytes = limit_bytes
        self._data = bytearray()
        self._rest = b""
        self._fault: str | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the text."""
        if self._fault is not None:
            return
        if self._rest:
            piece = self._rest + piece
        # The last quantum waits: only the end of the text may carry padding.
        cut = max(0, (len(piece) - 1) // 4 * 4)
        self._rest = piece[cut:]
        self._decode(piece[:cut], last=False)

    def finish(self) -> bytearray:
        """Return the bytes.

        Raises:
            Base64Error: The text was no strict base64, or too long.
        """
        if self._fault is None:
            self._decode(self._rest, last=True)
        if self._fault is not None:
            raise Base64Error(self._fault)
        return self._data

    def _decode(self, text: bytes, *, last: bool) -> None:
        if not text:
            return
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            return self._fail("not valid base64")
        if not last and len(data) * 4 != len(text) * 3:
            return self._fail("padding before the end")
        if last and binascii.b2a_base64(data, newline=False) != text:
            return self._fail("not valid base64")
        if len(self._data) + len(data) > self._limit_bytes:
            return self._fail(f"more than {self._limit_bytes} bytes")
        # One large block goes back to the system when it is freed; many pieces would not.
        self._data += data

    def _fail(self, fault: str) -> None:
        self._fault = fault
        self._data = bytearray()
        self._rest = b""
