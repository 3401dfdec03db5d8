"""The beginning and the end of an output of any length, in bounded memory. Pure."""

from __future__ import annotations

from typing import Literal

from .decoding import Decoder, UnreadableError

__all__ = ["Keep", "KeptOutput"]

Keep = Literal["head", "tail", "both"]
"""What to keep of an output that is longer than the limit; with ``both``, half of each."""


class _Tail:
    """The last bytes of what is added, in a ring that grows to its size once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray()
        self._oldest = 0

    def add(self, data: memoryview) -> int:
        """Add bytes; return how many fell out."""
        dropped = max(0, len(self._ring) + len(data) - self._size)
        data = data[max(0, len(data) - self._size) :]
        room = self._size - len(self._ring)
        self._ring += data[:room]
        data = data[room:]
        while data:
            end = min(self._size, self._oldest + len(data))
            count = end - self._oldest
            self._ring[self._oldest : end] = data[:count]
            self._oldest = end % self._size
            data = data[count:]
        return dropped

    def parts(self) -> tuple[memoryview, memoryview]:
        view = memoryview(self._ring)
        return view[self._oldest :], view[: self._oldest]


class KeptOutput:
    """Takes an output piece by piece.

    Args:
        limit: Most bytes to keep; ``None`` for all.
        keep: Which.

    Attributes:
        dropped: How many bytes were not kept. They were behind the head and before the tail.
    """

    def __init__(self, limit: int | None, keep: Keep) -> None:
        if limit is None:
            self._head_size: int | None = None
            tail = 0
        else:
            self._head_size = {"head": limit, "tail": 0, "both": limit // 2}[keep]
            tail = limit - self._head_size
        self._head = bytearray()
        self._tail = _Tail(tail)
        self.dropped = 0

    def add(self, data: bytes) -> None:
        """Add a piece."""
        if self._head_size is None:
            self._head += data
            return
        room = self._head_size - len(self._head)
        view = memoryview(data)
        self._head += view[:room]
        if len(view) > room:
            self.dropped += self._tail.add(view[room:])

    def value(self) -> bytes:
        """Return what is kept, and keep it no more. What is missing leaves no trace in it."""
        value = b"".join([self._head, *self._tail.parts()])
        self._clear()
        return value

    def _clear(self) -> None:
        self._head, self._tail = bytearray(), _Tail(0)

    def text(self, encoding: str, errors: str) -> str:
        """Return what is kept as text, and keep it no more; half characters become U+FFFD.

        Raises:
            UnicodeDecodeError: With ``errors="strict"``, for bytes that are no text.
        """
        decoder = Decoder(encoding, errors)
        head, tail = bytes(self._head), b"".join(self._tail.parts())
        self._clear()
        try:
            text = decoder.decode(head)
            if self.dropped:
                text += decoder.hole()
            return text + decoder.decode(tail) + decoder.end()
        except UnreadableError as unreadable:
            raise unreadable.error from None
