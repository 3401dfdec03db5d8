"""One output stream of a process: bytes in, an async iterator out. Lossless.

What nobody has read yet is counted in a budget that all streams of a client share. Beyond
the budget the client stops reading its connection, so the executor and in the end the
process wait. A stream that nobody has ever asked for does not hold up somebody who only
waits for the process: its oldest output is dropped, and reading it later says so.
"""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator

from .errors import ClientError, OutputLostError

__all__ = ["OutputStream", "ReadBudget"]


class ReadBudget:
    """Bytes of output that wait to be read, over all processes of a client.

    Args:
        limit: Above it ``full`` is true.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken from the connection."""
        return self._used > self._limit

    def take(self, size: int) -> None:
        """Count bytes that wait."""
        self._used += size

    def give_back(self, size: int) -> None:
        """Count bytes that were read or dropped."""
        self._used -= size
        if not self.full:
            self.wake()

    def wake(self) -> None:
        """Let everybody look again who waits for room."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until something has changed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


class OutputStream(AsyncIterator[bytes]):
    """What a process writes to stdout, stderr or its terminal.

    Iterate over it for pieces as they arrive, or use the methods. One reader at a time.
    Cancelling a read loses nothing.

    Raises:
        ProcessBrokenError: From a read, after everything that arrived, when the process
            cannot be followed any more.
    """

    def __init__(self, budget: ReadBudget) -> None:
        self._budget = budget
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: ClientError | None = None
        self._claimed = False
        self._expendable = False
        self._dropped = 0
        self._discarding = False

    # ------------------------------------------------------------------ filled by the process

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        if self._discarding:
            return
        self._pieces.append(data)
        self._size += len(data)
        self._budget.take(len(data))
        if self._expendable and not self._claimed:
            self._drop_oldest()
        self._wake()

    def end(self, error: ClientError | None = None) -> None:
        """Nothing follows; ``error`` says why it is not complete."""
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def give_way(self) -> None:
        """Drop the oldest output when there is too much, as long as nobody reads."""
        self._expendable = True
        if not self._claimed:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._budget.full and self._pieces:
            piece = self._pieces.popleft()
            self._size -= len(piece)
            self._dropped += len(piece)
            self._budget.give_back(len(piece))

    def discard(self) -> None:
        """Drop what is there and what comes: nobody will read it."""
        self._discarding = True
        self._pieces.clear()
        size, self._size = self._size, 0
        self._budget.give_back(size)

    # ------------------------------------------------------------------ for the reader

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return self._size

    def _claim(self) -> None:
        self._claimed = True
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            raise OutputLostError(
                f"{dropped} bytes were dropped: nobody read them while the process was waited for",
                after_seq=0,
            )

    async def _wait(self) -> bool:
        """Wait for bytes. Returns whether there are any; false at the end."""
        self._claim()
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return False
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    def _take(self, size: int) -> bytes:
        piece = self._pieces[0]
        if len(piece) > size:
            self._pieces[0] = piece[size:]
            piece = piece[:size]
        else:
            self._pieces.popleft()
        self._size -= len(piece)
        self._budget.give_back(len(piece))
        return piece

    async def __anext__(self) -> bytes:
        """Return the next piece, as large as it came."""
        if not await self._wait():
            raise StopAsyncIteration
        return self._take(len(self._pieces[0]))

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes as soon as there are any, everything to the end if negative.

        Empty at the end. Cancelling a read to the end keeps what it had collected.
        """
        if n == 0:
            return b""
        if n > 0:
            return self._take(n) if await self._wait() else b""
        parts: list[bytes] = []
        try:
            while await self._wait():
                parts.append(self._take(len(self._pieces[0])))
        except asyncio.CancelledError:
            self._put_back(b"".join(parts))
            raise
        return b"".join(parts)

    def _put_back(self, data: bytes) -> None:
        if data:
            self._pieces.appendleft(data)
            self._size += len(data)
            self._budget.take(len(data))

    def take_all(self) -> bytes:
        """Return everything that has arrived, without waiting."""
        parts = []
        while self._pieces:
            parts.append(self._take(len(self._pieces[0])))
        return b"".join(parts)

    async def readline(self) -> bytes:
        """Return the next line with its line feed, what is left at the end, or nothing."""
        parts: list[bytes] = []
        try:
            while await self._wait():
                end = self._pieces[0].find(b"\n") + 1
                parts.append(self._take(end or len(self._pieces[0])))
                if end:
                    break
        except asyncio.CancelledError:
            self._put_back(b"".join(parts))
            raise
        return b"".join(parts)

    async def text(self, encoding: str = "utf-8", errors: str = "strict") -> AsyncIterator[str]:
        """Yield the output decoded, as it arrives; characters are never torn apart.

        Raises:
            UnicodeDecodeError: With ``errors="strict"``, for bytes that are no text.
        """
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        async for piece in self:
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    async def lines(self, encoding: str = "utf-8", errors: str = "strict") -> AsyncIterator[str]:
        """Yield the output decoded, line by line, without the line ends."""
        rest = ""
        async for text in self.text(encoding, errors):
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                yield line.removesuffix("\r")
        if rest:
            yield rest
