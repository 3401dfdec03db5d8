"""A file that is open for reading and for writing at once (``r+b``).

Nothing is read ahead and nothing is kept back: each call is one request a block, in order. Like
everything that is written, the file is lost with its connection.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..connection.generation import DISCONNECTED, GenerationLost
from .errors import FileHandleLostError
from .handles import BLOCK_BYTES, Handle, new_handle
from .open_files import CLOSED, OpenFile
from .paths import native
from .reading import get_metadata

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session

__all__ = ["BinaryUpdater"]


class BinaryUpdater(OpenFile):
    """A file open for reading and writing bytes (``r+b``). For one task at a time.

    Cancelled, a write may have been made, in part where it is longer than 1 MiB.

    Attributes:
        name: The path that was opened.
        closed: Whether ``close`` was called.
    """

    def __init__(
        self, session: Session, handle: Handle, uri: PathUri, sandbox: SandboxContext | None
    ) -> None:
        self._session = session
        self._handle = handle
        self._uri = uri
        self._sandbox = sandbox
        self._position = 0
        self.name = native(uri)
        self.closed = False

    @classmethod
    async def opened(
        cls, session: Session, uri: PathUri, sandbox: SandboxContext | None
    ) -> BinaryUpdater:
        """Open a file that is there.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost meanwhile.
        """
        handle = await new_handle(session, uri, own=False)
        try:
            await handle.open("modify", sandbox)
        except GenerationLost as error:
            handle.close()
            raise FileHandleLostError(f"{error}: {native(uri)} was being opened") from error
        except BaseException:
            handle.close()
            raise
        return cls(session, handle, uri, sandbox)

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes, empty at the end; everything to the end when negative.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost.
        """
        self._check_open()
        pieces: list[bytes] = []
        at, left = self._position, n
        while left != 0:
            length = BLOCK_BYTES if left < 0 else min(left, BLOCK_BYTES)
            try:
                data, end = await self._handle.read(at, length)
            except GenerationLost as error:
                raise self._lost(sent=False) from error
            pieces.append(data)
            at += len(data)
            left -= len(data) if left > 0 else 0
            if end:
                break
        self._position = at
        return b"".join(pieces)

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes here and return how many: all of them. Longer files grow, shorter do not.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost; the bytes may have been written.
        """
        self._check_open()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), BLOCK_BYTES):
            piece = view[start : start + BLOCK_BYTES]
            try:
                await self._handle.write(self._position, piece)
            except GenerationLost as error:
                raise self._lost(sent=True) from error
            self._position += len(piece)
        return len(view)

    def tell(self) -> int:
        """Return where the next read or write begins."""
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, from here, or from the end; return where that is.

        The end is that of the file which has the path now.
        """
        self._check_open()
        start = 0
        if whence == os.SEEK_CUR:
            start = self._position
        elif whence == os.SEEK_END:
            start = (await get_metadata(self._session, self._uri, self._sandbox)).size
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._position = start + offset
        return self._position

    async def flush(self) -> None:
        """Do nothing: what was written is there."""
        self._check_open()

    async def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        self.closed = True
        self._handle.close()

    def _lost(self, *, sent: bool) -> FileHandleLostError:
        return FileHandleLostError(f"{DISCONNECTED}: {self.name} was open", maybe_executed=sent)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(CLOSED)
