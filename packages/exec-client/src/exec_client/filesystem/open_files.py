"""Open files, as the callers of ``FileSystem.open`` have them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .handles import BLOCK_BYTES
from .reading import BlockReader, ReadAhead
from .writing import BlockWriter

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CLOSED", "BinaryReader", "BinaryWriter", "OpenFile", "Opening"]

T = TypeVar("T", bound="OpenFile")

CLOSED: Final = "I/O operation on closed file"


class OpenFile:
    """Base of all open files: leaving the block closes them."""

    name: str
    closed: bool

    async def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        raise NotImplementedError

    async def _abandon(self) -> None:
        """Close the file after an error: without a word about what is lost."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (self.close() if error is None else self._abandon())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' closed' if self.closed else ''}>"


class Opening(Generic[T]):
    """A file about to be opened: ``async with fs.open(…) as file`` or ``await fs.open(…)``."""

    def __init__(self, opener: Callable[[], Awaitable[T]]) -> None:
        self._opener = opener
        self._file: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._opener().__await__()

    async def __aenter__(self) -> T:
        self._file = await self._opener()
        return self._file

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            await self._file.__aexit__(kind, error, traceback)


class BinaryReader(OpenFile):
    """A file open for reading bytes (``rb``).

    It survives lost connections: see ``reading``. A read that is cancelled or fails takes
    nothing. For one task at a time, ``pread`` apart.

    Attributes:
        name: The path that was opened.
        size: In bytes, when it was opened.
        closed: Whether ``close`` was called.
    """

    def __init__(self, reader: BlockReader, name: str) -> None:
        self._reader = reader
        self._ahead = ReadAhead(reader)
        self._data = b""
        self._start = 0
        self._position = 0
        self.name = name
        self.size = reader.size
        self.closed = False

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes, empty at the end; everything to the end when negative.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost, and the file is another one now.
        """
        self._check_open()
        pieces: list[bytes] = []
        left = n
        try:
            while left != 0:
                end = self._start == len(self._data) and await self._fill()
                if not self._data:
                    break
                pieces.append(self._take(left))
                left -= len(pieces[-1]) if left > 0 else 0
                if end:
                    break
        except BaseException:
            self._give_back(pieces)
            raise
        return b"".join(pieces)

    async def readline(self) -> bytes:
        """Return the next line with its end, or what is left, or nothing at the end."""
        self._check_open()
        pieces: list[bytes] = []
        try:
            while not pieces or not pieces[-1].endswith(b"\n"):
                if self._start == len(self._data):
                    await self._fill()
                    if not self._data:
                        break
                end = self._data.find(b"\n", self._start) + 1
                pieces.append(self._take(end - self._start if end else -1))
        except BaseException:
            self._give_back(pieces)
            raise
        return b"".join(pieces)

    def _give_back(self, pieces: list[bytes]) -> None:
        """Undo a read that failed or was cancelled: the next one begins where it began."""
        data = b"".join(pieces)
        self._data = data + self._data[self._start :]
        self._start = 0
        self._position -= len(data)

    async def _fill(self) -> bool:
        """Fetch the next block; returns whether there is no other at the moment."""
        self._data, end = await self._ahead.next()
        self._start = 0
        return end

    def _take(self, n: int) -> bytes:
        piece = self._data[self._start : self._start + n if n >= 0 else None]
        self._start += len(piece)
        self._position += len(piece)
        return piece

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield what is left, in pieces of up to 1 MiB, as they come."""
        self._check_open()
        while True:
            end = self._start == len(self._data) and await self._fill()
            if data := self._take(-1):
                yield data
            if end:
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    async def pread(self, offset: int, n: int) -> bytes:
        """Return up to ``n`` bytes at an offset, fewer only at the end. Moves nothing.

        Several may run at once.
        """
        self._check_open()
        pieces = []
        while n > 0:
            data, end = await self._reader.read(offset, min(n, BLOCK_BYTES))
            pieces.append(data)
            offset, n = offset + len(data), n - len(data)
            if end:
                break
        return b"".join(pieces)

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end; return where that is.

        Args:
            offset: In bytes.
            whence: As in ``io``; the end is where it was when the file was opened.
        """
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        target = start + offset
        if target < 0:
            raise ValueError(f"negative seek position {target}")
        ahead = target - self._position
        if 0 <= self._start + ahead <= len(self._data):
            self._start += ahead
        else:
            self._data, self._start = b"", 0
            await self._ahead.stop(target)
        self._position = target
        return target

    async def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        self.closed = True
        self._reader.close()
        await self._ahead.stop()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(CLOSED)


class BinaryWriter(OpenFile):
    """A file open for writing bytes, from its beginning or its end (``wb``, ``xb``, ``ab``).

    What is written is sent in blocks of 1 MiB, four of them on their way at once; an error
    may come with a later call, at the latest with ``flush`` or ``close``. It does not survive
    a lost connection. For one task at a time.

    Attributes:
        name: The path that was opened.
        closed: Whether ``close`` was called.
    """

    def __init__(self, writer: BlockWriter, name: str) -> None:
        self._writer = writer
        self._buffer = bytearray()
        self.name = name
        self.closed = False

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes and return how many: all of them.

        Cancelled, it may have taken some; ``tell`` says how many.

        Raises:
            FileError: The executor refused to write earlier ones.
            FileHandleLostError: The connection was lost; all further calls fail.
        """
        self._check_open()
        self._writer.check()
        view = memoryview(data).cast("B")
        taken = 0
        while taken < len(view):
            if len(self._buffer) >= BLOCK_BYTES:
                await self._send()
            piece = view[taken : taken + BLOCK_BYTES - len(self._buffer)]
            self._buffer += piece
            taken += len(piece)
        if len(self._buffer) >= BLOCK_BYTES:
            await self._send()
        return taken

    async def _send(self) -> None:
        await self._writer.write(bytes(self._buffer))
        self._buffer.clear()

    async def flush(self) -> None:
        """Return when the executor has written everything so far.

        Raises:
            FileError: The executor refused to write it.
            FileHandleLostError: The connection was lost; all further calls fail.
        """
        self._check_open()
        if self._buffer:
            await self._send()
        await self._writer.flush()

    def tell(self) -> int:
        """Return where the next byte goes; after others have appended, it is further on."""
        return self._writer.offset + len(self._buffer)

    async def close(self) -> None:
        """Write what is left and close the file. Repeating it does nothing.

        Raises:
            FileError: The executor refused to write it. The file is closed all the same.
            FileHandleLostError: The connection was lost; likewise.
        """
        if self.closed:
            return
        try:
            await self.flush()
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        self.closed = True
        await self._writer.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(CLOSED)
