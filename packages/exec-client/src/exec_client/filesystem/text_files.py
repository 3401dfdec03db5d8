"""Open files of text: the binary ones, decoded and encoded."""

from __future__ import annotations

import codecs
import io
from collections.abc import AsyncIterator

from .handles import BLOCK_BYTES
from .open_files import BinaryReader, BinaryWriter, OpenFile

__all__ = ["TextReader", "TextWriter"]


class TextReader(OpenFile):
    """A file open for reading text (``r``). Line ends stay as they are.

    Attributes:
        name: The path that was opened.
    """

    def __init__(self, binary: BinaryReader, encoding: str, errors: str) -> None:
        self._binary = binary
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._buffer = io.StringIO()
        self._ended = False
        self.name = binary.name

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether ``close`` was called."""
        return self._binary.closed

    async def read(self, n: int = -1) -> str:
        """Return up to ``n`` characters, empty at the end; everything when negative.

        Raises:
            UnicodeDecodeError: The file is not of this encoding.
        """
        pieces = [self._buffer.read(n)]
        try:
            while (left := n - sum(map(len, pieces)) if n >= 0 else -1) and await self._fill():
                pieces.append(self._buffer.read(left))
        except BaseException:
            self._give_back(pieces)
            raise
        return "".join(pieces)

    async def readline(self) -> str:
        """Return the next line with its end, or what is left, or nothing at the end."""
        pieces = [self._buffer.readline()]
        try:
            while not pieces[-1].endswith("\n") and await self._fill():
                pieces.append(self._buffer.readline())
        except BaseException:
            self._give_back(pieces)
            raise
        return "".join(pieces)

    def _give_back(self, pieces: list[str]) -> None:
        """Undo a read that failed or was cancelled."""
        self._buffer = io.StringIO("".join(pieces) + self._buffer.read(), newline="\n")

    async def _fill(self) -> bool:
        """Decode another block into the empty buffer; false at the end."""
        if self._ended:
            return False
        data = await self._binary.read(BLOCK_BYTES)
        self._ended = not data
        self._buffer = io.StringIO(self._decoder.decode(data, final=not data), newline="\n")
        return True

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self.readline():
            yield line

    async def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        await self._binary.close()


class TextWriter(OpenFile):
    """A file open for writing text from its beginning (``w``). Line ends stay as they are.

    Attributes:
        name: The path that was opened.
    """

    def __init__(self, binary: BinaryWriter, encoding: str, errors: str) -> None:
        self._binary = binary
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        self.name = binary.name

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether ``close`` was called."""
        return self._binary.closed

    async def write(self, text: str) -> int:
        """Take text and return how many characters: all of them."""
        await self._binary.write(self._encoder.encode(text))
        return len(text)

    async def flush(self) -> None:
        """Return when the executor has written everything so far."""
        await self._binary.flush()

    async def close(self) -> None:
        """Write what is left and close the file. Repeating it does nothing."""
        await self._binary.close()

    async def _abandon(self) -> None:
        await self._binary._abandon()
