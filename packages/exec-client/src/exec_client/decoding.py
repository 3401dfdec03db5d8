"""From pieces of output to text, over holes in it."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator

__all__ = ["decode", "split_lines"]

_TORN: str = "\ufffd"
"""In the place of a character that a hole has torn apart, as decoders have it."""
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_MOST_CONTINUATION_BYTES = 3


class _Decoder:
    """Decodes stretches of output that have nothing to do with each other."""

    def __init__(self, encoding: str, errors: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._after_hole = 0

    def decode(self, data: bytes) -> str:
        """Decode what comes next."""
        text = ""
        while self._after_hole and data:
            if data[0] not in _CONTINUATION_BYTES:
                self._after_hole = 0
                break
            # The end of a character whose beginning is lost; strictly it would be an error.
            if self._after_hole == _MOST_CONTINUATION_BYTES:
                text = _TORN
            self._after_hole -= 1
            data = data[1:]
        return text + self._decoder.decode(data)

    def end(self) -> str:
        """Return what is left at the end of everything."""
        return self._decoder.decode(b"", final=True)

    def hole(self) -> str:
        """Forget what came before; return what stands for a character that was begun."""
        begun, _ = self._decoder.getstate()
        self._decoder.reset()
        self._after_hole = _MOST_CONTINUATION_BYTES if self._is_utf8 else 0
        return _TORN if begun else ""


async def decode(
    pieces: AsyncIterator[tuple[bytes, bool]], encoding: str, errors: str
) -> AsyncIterator[str]:
    """Yield pieces decoded as they come; one with a true flag marks a hole, and is UTF-8.

    Raises:
        UnicodeDecodeError: With ``errors="strict"``, for bytes that are no text.
    """
    decoder = _Decoder(encoding, errors)
    async for piece, is_marker in pieces:
        if is_marker:
            text = decoder.hole() + piece.decode("utf-8", "surrogateescape")
        else:
            text = decoder.decode(piece)
        if text:
            yield text
    if text := decoder.end():
        yield text


async def split_lines(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield text line by line, without the line ends."""
    parts: list[str] = []
    async for text in texts:
        *lines, rest = text.split("\n")
        for line in lines:
            parts.append(line)
            yield "".join(parts).removesuffix("\r")
            parts = []
        if rest:
            parts.append(rest)
    if parts:
        yield "".join(parts)
