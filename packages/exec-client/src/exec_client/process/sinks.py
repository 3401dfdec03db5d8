"""Sinks for the output of a command: it is kept, written, or given to a call, piece by piece."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from .decoding import Decoder, UnreadableError
from .kept_output import Keep, KeptOutput

__all__ = ["Sink", "Taker", "Writable", "in_thread", "make_taker"]


class Writable(Protocol):
    """A file that is open for writing."""

    def write(self, data: Any, /) -> object:
        """Write bytes, or text."""


Sink = Callable[[Any], object] | Writable
"""Takes output as it arrives: bytes, or text with ``text=True``.

A function, which may be a coroutine function, is awaited before it is called again. A file is
written to in a thread, since it may block."""


class Taker(Protocol):
    """Takes the pieces of one stream.

    Attributes:
        dropped: Bytes that were neither kept nor handed on.
    """

    dropped: int

    async def take(self, piece: bytes) -> None:
        """Take a piece."""

    async def end(self) -> None:
        """Take note that it was the last one."""

    def value(self) -> bytes | str:
        """Return what is kept."""


class _Keeping:
    def __init__(self, kept: KeptOutput, encoding: str | None, errors: str) -> None:
        self._kept = kept
        self._encoding = encoding
        self._errors = errors
        self.dropped = 0

    async def take(self, piece: bytes) -> None:
        self._kept.add(piece)
        self.dropped = self._kept.dropped

    async def end(self) -> None:
        return

    def value(self) -> bytes | str:
        if self._encoding is None:
            return self._kept.value()
        return self._kept.text(self._encoding, self._errors)


class _Handing:
    """Hands pieces on, up to a limit."""

    def __init__(
        self,
        give: Callable[[Any], object],
        limit: int | None,
        encoding: str | None,
        errors: str,
    ) -> None:
        self._give = give
        self._left = limit
        self._decoder = None if encoding is None else Decoder(encoding, errors)
        self.dropped = 0

    async def take(self, piece: bytes) -> None:
        if self._left is not None:
            taken = piece[: self._left]
            self._left -= len(taken)
            self.dropped += len(piece) - len(taken)
            piece = taken
        if self._decoder is None:
            await self._hand(piece)
            return
        try:
            text = self._decoder.decode(piece)
        except UnreadableError as unreadable:
            await self._hand(unreadable.text)
            raise unreadable.error from None
        await self._hand(text)

    async def _hand(self, data: bytes | str) -> None:
        if data:
            given = self._give(data)
            if inspect.isawaitable(given):
                await given

    async def end(self) -> None:
        if self._decoder is None:
            return
        try:
            await self._hand(self._decoder.end())
        except UnreadableError as unreadable:
            raise unreadable.error from None

    def value(self) -> bytes | str:
        return b"" if self._decoder is None else ""


def make_taker(
    sink: Sink | None, limit: int | None, keep: Keep, encoding: str | None, errors: str
) -> Taker:
    """Return what takes a stream.

    Args:
        sink: Where it goes; ``None`` to keep it.
        limit: Most bytes to keep or to hand on; ``None`` for all.
        keep: Which to keep; what is handed on is the beginning in any case.
        encoding: Of text; ``None`` for bytes.
        errors: What becomes of bytes that are no text.

    Raises:
        TypeError: The sink is neither a function nor a file.
    """
    if sink is None:
        return _Keeping(KeptOutput(limit, keep), encoding, errors)
    if callable(sink):
        return _Handing(sink, limit, encoding, errors)
    write = getattr(sink, "write", None)
    if not callable(write):
        raise TypeError(
            f"stdout and stderr must be functions or open files, not {type(sink).__name__}"
        )
    write_all = partial(_write_all, write) if isinstance(sink, io.RawIOBase) else write

    async def in_a_thread(data: bytes | str) -> None:
        await asyncio.to_thread(write_all, data)

    return _Handing(in_a_thread, limit, encoding, errors)


def _write_all(write: Callable[[Any], object], data: bytes) -> None:
    """Write to a file without a buffer, which may take a part only."""
    view = memoryview(data)
    while view:
        count = write(view)
        if not isinstance(count, int):
            raise BlockingIOError("a file for output must not be non-blocking")
        view = view[count:]


def in_thread(sink: Sink | None) -> Sink | None:
    """Return a sink that calls a function in a thread, so that it may block."""
    if sink is None or not callable(sink) or inspect.iscoroutinefunction(sink):
        return sink

    async def call(data: Any) -> None:
        await asyncio.to_thread(sink, data)

    return call
