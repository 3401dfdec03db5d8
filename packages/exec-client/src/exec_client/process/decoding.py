"""Decoder of output: pieces of bytes to text, over holes in them."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Callable

__all__ = ["Decoder", "UnreadableError", "decode", "split_lines"]

_TORN: str = "\ufffd"
"""In the place of a character that a hole has torn apart, as decoders have it."""
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_MOST_CONTINUATION_BYTES = 3


class UnreadableError(Exception):
    """Bytes that are no text.

    Attributes:
        error: What the codec said.
        text: What comes before them.
        rest: They, and what comes after them.
    """

    def __init__(self, error: UnicodeDecodeError, text: str, rest: bytes) -> None:
        super().__init__(error, text, rest)
        self.error = error
        self.text = text
        self.rest = rest


class Decoder:
    """Decodes stretches of output that have nothing to do with each other."""

    def __init__(self, encoding: str, errors: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._after_hole = 0

    def decode(self, data: bytes) -> str:
        """Decode what comes next.

        Raises:
            UnreadableError: Strictly, for bytes that are no text.
        """
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
        state = self._decoder.getstate()
        try:
            return text + self._decoder.decode(data)
        except UnicodeDecodeError as error:
            raise self._unreadable(text, state, data, error) from error

    def end(self) -> str:
        """Return what is left at the end of everything.

        Raises:
            UnreadableError: Strictly, for half a character.
        """
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise self._unreadable("", state, b"", error) from error

    def _unreadable(
        self, text: str, state: tuple[bytes, int], data: bytes, error: UnicodeDecodeError
    ) -> UnreadableError:
        begun, flags = state
        whole = begun + data
        good = 0
        if whole.endswith(error.object):  # without a byte order mark, perhaps
            good = len(whole) - len(error.object) + error.start
            self._decoder.setstate((b"", flags))
            text += self._decoder.decode(whole[:good])
        return UnreadableError(error, text, whole[good:])

    def hole(self) -> str:
        """Forget what came before; return what stands for a character that was begun."""
        begun, _ = self._decoder.getstate()
        self._decoder.reset()
        self._after_hole = _MOST_CONTINUATION_BYTES if self._is_utf8 else 0
        return _TORN if begun else ""


async def decode(
    pieces: AsyncIterator[tuple[bytes, bool]],
    encoding: str,
    errors: str,
    put_back: Callable[[bytes], None],
) -> AsyncIterator[str]:
    """Yield pieces decoded as they come; one with a true flag marks a hole, and is UTF-8.

    Args:
        pieces: The pieces.
        encoding: Of all others.
        errors: What becomes of bytes that are no text.
        put_back: Takes what was taken and cannot be decoded, and what comes behind it.

    Raises:
        UnicodeDecodeError: With ``errors="strict"``, for bytes that are no text. All before
            them was yielded, and they are the next to be read.
    """
    decoder = Decoder(encoding, errors)
    try:
        async for piece, is_marker in pieces:
            if is_marker:
                text = decoder.hole() + piece.decode("utf-8", "surrogateescape")
            else:
                text = decoder.decode(piece)
            if text:
                yield text
        if text := decoder.end():
            yield text
    except UnreadableError as unreadable:
        put_back(unreadable.rest)
        if unreadable.text:
            yield unreadable.text
        raise unreadable.error from None


async def split_lines(
    texts: AsyncIterator[str], encoding: str, put_back: Callable[[bytes], None]
) -> AsyncIterator[str]:
    """Yield text line by line, without the line ends.

    Raises:
        UnicodeDecodeError: As ``decode``. All lines before the bad one were yielded, and that
            one is the next to be read.
    """
    parts: list[str] = []
    try:
        async for text in texts:
            *lines, rest = text.split("\n")
            for line in lines:
                parts.append(line)
                yield "".join(parts).removesuffix("\r")
                parts = []
            if rest:
                parts.append(rest)
    except UnicodeDecodeError:
        put_back("".join(parts).encode(encoding, "surrogateescape"))
        raise
    if parts:
        yield "".join(parts)
