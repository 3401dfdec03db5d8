"""One output stream of a process: bytes in, an async iterator out.

What has arrived and was not read yet counts in a budget that all streams of a client share;
``read_budget`` says what happens when that is used up.
"""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator

from .errors import ClientError, OutputLostError
from .read_budget import ReadBudget

__all__ = ["OutputStream", "ReadBudget"]


class OutputStream(AsyncIterator[bytes]):
    """What a process writes to stdout, stderr or its terminal.

    Iterate over it for pieces as they arrive, or use the methods. One reader at a time.
    Cancelling a read loses nothing.

    Raises:
        ProcessBrokenError: From a read, after everything that arrived, when the process
            cannot be followed any more.
        OutputLostError: From a read, once, when output was given up because nobody read it
            while something else had to get through. Reading goes on after it.
        RuntimeError: Another task is waiting in a read.
    """

    def __init__(self, budget: ReadBudget) -> None:
        self._budget = budget
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._offset = 0
        """How much of the first piece was read already."""
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: ClientError | None = None
        self._read_at: float | None = None
        self._unwanted = False
        self._discarding = False
        self._lost_bytes = 0
        self._lost_after = 0

    # ------------------------------------------------------------------ filled by the process

    def feed(self, data: bytes, seq: int = 0) -> None:
        """Add the bytes of an event."""
        if self._discarding or not data:
            return
        self._pieces.append((seq, data))
        self._size += len(data)
        self._budget.take(self, len(data))
        if self.expendable and self._budget.full:
            self._budget.make_room()
        self._wake()

    def end(self, error: ClientError | None = None) -> None:
        """Nothing follows; ``error`` says why it is not complete."""
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def discard(self) -> None:
        """Drop what is there and what comes: nobody will read it."""
        self._discarding = True
        self._pieces.clear()
        self._offset = 0
        size, self._size = self._size, 0
        self._budget.give_back(self, size)

    # ------------------------------------------------------------------ for the budget

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return self._size

    @property
    def expendable(self) -> bool:
        """Whether its owner has shown to have no use for it."""
        return self._unwanted and self._read_at is None

    @property
    def read_at(self) -> float | None:
        """Loop time of the last read; ``None`` for never."""
        return self._read_at

    @property
    def awaited(self) -> bool:
        """Whether somebody waits in a read."""
        return self._waiter is not None

    def give_way(self) -> None:
        """Do not hold up others, unless somebody reads."""
        self._unwanted = True

    def drop_oldest(self, size: int) -> None:
        """Give up ``size`` bytes or a little more, oldest first. Who reads is told."""
        dropped = 0
        while self._pieces and dropped < size:
            if not self._lost_bytes:
                self._lost_after = self._pieces[0][0] - 1
            taken = len(self._take(self._size))
            dropped += taken
            self._lost_bytes += taken

    # ------------------------------------------------------------------ for the reader

    def _claim(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("another task is reading this stream")
        self._read_at = asyncio.get_running_loop().time()
        if self._lost_bytes:
            lost, self._lost_bytes = self._lost_bytes, 0
            raise OutputLostError(
                f"{lost} bytes were given up because nobody read them while others waited",
                after_seq=self._lost_after,
                oldest_seq=self._pieces[0][0] if self._pieces else None,
                lost_bytes=lost,
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
                with self._budget.waiting():
                    await self._waiter
            finally:
                self._waiter = None
        return True

    def _take(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the first piece."""
        _, piece = self._pieces[0]
        end = self._offset + size
        if len(piece) > end:
            taken = piece[self._offset : end]
            self._offset = end
        else:
            taken = piece[self._offset :] if self._offset else piece
            self._pieces.popleft()
            self._offset = 0
        self._size -= len(taken)
        self._budget.give_back(self, len(taken))
        return taken

    async def __anext__(self) -> bytes:
        """Return the next piece, as large as it came."""
        if not await self._wait():
            raise StopAsyncIteration
        return self._take(self._size)

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes as soon as there are any, everything to the end if negative.

        Empty at the end. Cancelling a read to the end keeps what it had collected.
        """
        if n == 0:
            return b""
        if n > 0:
            return self._take(n) if await self._wait() else b""
        return await self._collect(b"")

    async def readline(self) -> bytes:
        """Return the next line with its line feed, what is left at the end, or nothing.

        A line may be of any length.
        """
        return await self._collect(b"\n")

    async def _collect(self, until: bytes) -> bytes:
        """Return everything to the end, or to the first ``until`` with it."""
        parts: list[bytes] = []
        first = 0
        try:
            while await self._wait():
                first = first or self._pieces[0][0]
                end = self._pieces[0][1].find(until, self._offset) + 1 if until else 0
                parts.append(self._take(end - self._offset if end else self._size))
                if end:
                    break
        except BaseException:  # also a failure: what has arrived can still be read
            self._put_back(first, b"".join(parts))
            raise
        return b"".join(parts)

    def _put_back(self, seq: int, data: bytes) -> None:
        if not data or self._discarding:
            return
        if self._offset:
            head_seq, head = self._pieces[0]
            self._pieces[0] = (head_seq, head[self._offset :])
            self._offset = 0
        self._pieces.appendleft((seq, data))
        self._size += len(data)
        self._budget.take(self, len(data))

    def take_all(self) -> bytes:
        """Return everything that has arrived, without waiting."""
        parts = []
        while self._pieces:
            parts.append(self._take(self._size))
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
        parts: list[str] = []
        async for text in self.text(encoding, errors):
            *lines, rest = text.split("\n")
            for line in lines:
                parts.append(line)
                yield "".join(parts).removesuffix("\r")
                parts = []
            if rest:
                parts.append(rest)
        if parts:
            yield "".join(parts)
