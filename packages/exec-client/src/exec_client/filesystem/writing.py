"""Writing a file, block by block, several of them on their way at once.

A handle ends with its connection, and opening a file for writing empties it: so a file that
is being written is lost with the connection, and says so from then on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..connection.generation import DISCONNECTED, GenerationLost
from ..errors import ClientError
from .errors import FileError, FileHandleLostError
from .handles import Handle, HandleMode, new_handle
from .paths import native

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session

__all__ = ["WRITE_BEHIND_BLOCKS", "BlockWriter"]

WRITE_BEHIND_BLOCKS: Final = 4
"""Blocks that are on their way at once; see ``READ_AHEAD_BLOCKS``."""


class BlockWriter:
    """A file that is open for writing. Made with ``opened``, to be closed whatever happens.

    Attributes:
        confirmed: Everything before this offset has been written.
    """

    def __init__(self, handle: Handle, uri: PathUri, offset: int) -> None:
        self._handle = handle
        self._uri = uri
        self._offset = offset
        self.confirmed = offset
        self._blocks: deque[tuple[int, asyncio.Task[None]]] = deque()
        self._failure: FileError | ClientError | None = None

    @classmethod
    async def opened(
        cls,
        session: Session,
        uri: PathUri,
        sandbox: SandboxContext | None,
        *,
        mode: HandleMode = "replace",
        offset: int = 0,
        create_mode: int | None = None,
        lock: bool = False,
        own: bool = False,
    ) -> BlockWriter:
        """Open a file for writing.

        Args:
            session: Where it is.
            uri: Which.
            sandbox: Under which policy.
            mode: ``replace`` empties it at once, ``update`` does not, ``create`` makes it, and
                ``extend`` goes on at its end.
            offset: Where the first block goes.
            create_mode: Permission bits of a file that is made; needs ``fsFileModes``.
            lock: Refuse a file that somebody else has locked; needs ``fsCreateAppend``.
            own: See ``HandleSlots.take``.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost meanwhile.
        """
        while True:
            handle = await new_handle(session, uri, own=own)
            try:
                await handle.open(mode, sandbox, create_mode=create_mode, lock=lock)
            except GenerationLost as error:
                handle.close()
                if not error.sent:
                    continue
                raise FileHandleLostError(
                    f"{error}: the answer to fs/open was lost", maybe_executed=True
                ) from error
            except BaseException:
                handle.close()
                raise
            return cls(handle, uri, offset)

    @property
    def offset(self) -> int:
        """Offset of the next block."""
        return self._offset

    async def write(self, data: bytes | memoryview) -> None:
        """Send a block; waits only while ``WRITE_BEHIND_BLOCKS`` are on their way.

        Cancelled while it waits, it has sent nothing. What goes wrong with a block is raised
        by a later call.

        Args:
            data: 1 to ``BLOCK_BYTES`` bytes, which must not change any more.

        Raises:
            FileError: The executor refused a block; all further calls fail.
            FileHandleLostError: The connection was lost; likewise.
        """
        await self._settle(WRITE_BEHIND_BLOCKS - 1)
        write = self._handle.write(self._offset, data)
        self._offset += len(data)
        self._blocks.append((self._offset, asyncio.get_running_loop().create_task(write)))

    def check(self) -> None:
        """Raise what is known to have gone wrong."""
        if self._failure is not None:
            raise self._failure

    async def flush(self) -> None:
        """Wait until the executor has written every block.

        Raises:
            FileError: It refused one.
            FileHandleLostError: The connection was lost.
        """
        await self._settle(0)

    async def _settle(self, leave: int) -> None:
        """Wait until at most so many blocks are on their way."""
        self.check()
        while self._blocks and (len(self._blocks) > leave or self._blocks[0][1].done()):
            end, task = self._blocks[0]
            await asyncio.wait([task])
            self._blocks.popleft()
            try:
                task.result()
            except GenerationLost as error:
                self._failure = FileHandleLostError(
                    f"{DISCONNECTED}: {native(self._uri)} was being written", maybe_executed=True
                )
                raise self._failure from error
            except (FileError, ClientError) as error:
                self._failure = error
                raise
            self.confirmed = end

    async def close(self) -> None:
        """Forget blocks that are on their way, and close the file in the background."""
        blocks, self._blocks = self._blocks, deque()
        for _, task in blocks:
            task.cancel()
        if blocks:
            await asyncio.wait([task for _, task in blocks])
            for _, task in blocks:
                if not task.cancelled():
                    task.exception()  # seen: whoever closes without a flush does not ask
        self._handle.close()

    def __repr__(self) -> str:
        return f"<BlockWriter {self._offset} bytes, {self.confirmed} written>"
