"""Reading an open file, block by block, over as many connections as it takes.

A handle ends with its connection. For reading that is hidden: the file is opened again on the
next connection, provided that its size and its time of modification are what they were. A
file that has changed, or that has gone, is a ``FileHandleLostError``: pieces of two files are
never put together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from exec_server_protocol.errors import INVALID_REQUEST, RpcError
from exec_server_protocol.filesystem import (
    CAPABILITY_FILE_MODES,
    FsGetMetadataParams,
    FsGetMetadataResult,
)
from exec_server_protocol.methods import FS_GET_METADATA

from ..connection.calls import request
from ..connection.generation import DISCONNECTED, GenerationLost
from .errors import (
    FileError,
    FileHandleLostError,
    RemoteFileNotFoundError,
    is_directory_error,
    to_file_error,
)
from .handles import BLOCK_BYTES, Handle, new_handle
from .paths import native

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..connection.generation import Generation
    from ..session.session import Session

__all__ = [
    "BlockReader",
    "ReadAhead",
    "explain_refusal",
    "get_metadata",
    "is_directory",
    "read_small",
    "read_whole",
]

READ_AHEAD_BLOCKS: Final = 4
"""Blocks in flight: 4 MiB fill 100 MB/s at 40 ms, and a file is in memory four times over."""


async def get_metadata(
    session: Session,
    uri: PathUri,
    sandbox: SandboxContext | None,
    *,
    follow_symlinks: bool | None = None,
    link: bool = False,
    only: Generation | None = None,
) -> FsGetMetadataResult:
    """Ask what is at a path, with permissions where the executor tells them.

    Args:
        session: Where.
        uri: Which.
        sandbox: Under which policy.
        follow_symlinks: False refuses links.
        link: Of a link, the link itself; the executor has to have ``fsFileModes``.
        only: The connection to use.

    Raises:
        FileError: The executor refused; nothing is there, for instance.
        GenerationLost: With ``only``: that connection is over.
    """
    details: Literal["link", "target"] | None = "link" if link else None
    if details is None and session.supports(CAPABILITY_FILE_MODES):
        details = "target"
    params = FsGetMetadataParams(
        path=uri, sandbox=sandbox, follow_symlinks=follow_symlinks, details=details
    )
    try:
        answer = await request(session, FS_GET_METADATA, params, only=only)
    except RpcError as error:
        raise to_file_error(error, native(uri)) from error
    return FsGetMetadataResult.model_validate(answer)


class BlockReader:
    """A file that is open for reading, at any offset, by any number of tasks at once.

    Made with ``opened``. To be closed with ``close``, whatever happens.
    """

    def __init__(
        self, session: Session, uri: PathUri, sandbox: SandboxContext | None, *, own: bool
    ) -> None:
        self._own = own
        self._busy = 0
        self._gave_way = False
        self._session = session
        self._uri = uri
        self._sandbox = sandbox
        self._handle: Handle | None = None
        self._version: tuple[int, int] | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    @classmethod
    async def opened(
        cls, session: Session, uri: PathUri, sandbox: SandboxContext | None, *, own: bool
    ) -> BlockReader:
        """Open a file.

        Args:
            session: Where it is.
            uri: Which.
            sandbox: Under which policy.
            own: See ``HandleSlots.take``. Others give their room up while they are idle.

        Raises:
            FileError: The executor refused.
        """
        reader = cls(session, uri, sandbox, own=own)
        try:
            await reader._current()
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def size(self) -> int:
        """Size in bytes when it was opened; 0 for the files of procfs, whatever they hold."""
        return self._version[0] if self._version else 0

    @property
    def modified_ms(self) -> int:
        """Time of modification when it was opened: Unix time in ms; 0 when unknown."""
        return self._version[1] if self._version else 0

    async def read(self, offset: int, length: int) -> tuple[bytes, bool]:
        """Return the bytes at an offset, and whether the file had fewer than were asked for.

        Args:
            offset: In bytes, from 0.
            length: 1 to ``BLOCK_BYTES``.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost, and the file is another one now.
        """
        while True:
            handle = await self._current()
            self._busy += 1
            try:
                with suppress(GenerationLost):
                    return await handle.read(offset, length)
            finally:
                self._busy -= 1
                self._used()

    def _used(self) -> None:
        if not self._own and not self._closed:
            self._session.file_slots.used(self._close_idle_handle)

    def _close_idle_handle(self) -> bool:
        """Close the handle for others who need room, unless it is in use."""
        if self._busy or self._opening.locked() or self._handle is None:
            return False
        self._handle.close()
        self._handle = None
        self._gave_way = True
        return True

    async def _current(self) -> Handle:
        """Return a handle on the connection of the moment, opening the file where needed."""
        async with self._opening:
            while True:
                if self._closed:
                    raise ValueError("the file is closed")
                if self._handle is not None and not self._handle.lost:
                    return self._handle
                with suppress(GenerationLost):
                    await self._open()

    async def _open(self) -> None:
        if self._handle is not None:
            self._handle.close()  # it is lost, and its room is free
            self._handle = None
        handle = self._handle = await new_handle(self._session, self._uri, own=self._own)
        # Both at once: the second is sent before the first is answered. The first time the
        # version is asked for before the file is opened, later after it: a change between
        # the two is taken for a change since then, never overlooked.
        ask = get_metadata(self._session, self._uri, self._sandbox, only=handle.generation)
        opening = handle.open("read", self._sandbox)
        if self._version is None:
            now, refused = await asyncio.gather(ask, opening, return_exceptions=True)
        else:
            refused, now = await asyncio.gather(opening, ask, return_exceptions=True)
        if isinstance(refused, BaseException):
            self._handle = None
            handle.close()
            if isinstance(refused, RemoteFileNotFoundError) and self._version is not None:
                raise self._changed("is gone") from refused
            if isinstance(refused, FileError) and is_directory(now):
                raise is_directory_error(refused) from refused.__cause__
            raise refused
        if isinstance(now, BaseException):
            self._handle = None
            handle.close()
            raise now
        version = (now.size, now.modified_at_ms)
        if self._version not in (None, version):
            handle.close()
            raise self._changed("has changed")
        self._version = version
        self._used()

    def _changed(self, what: str) -> FileHandleLostError:
        why = "too many files were open" if self._gave_way else DISCONNECTED
        return FileHandleLostError(f"{why}: {native(self._uri)} {what} since then")

    def close(self) -> None:
        """Close it, in the background. Repeating it does nothing."""
        self._closed = True
        self._session.file_slots.forget(self._close_idle_handle)
        if self._handle is not None:
            self._handle.close()


async def read_whole(session: Session, uri: PathUri, sandbox: SandboxContext | None) -> bytes:
    """Return the content of a file, however large; a small one takes one round trip.

    Raises:
        FileError: The executor refused.
        FileHandleLostError: The connection was lost, and the file is another one now.
    """
    small = await read_small(session, uri, sandbox)
    if small is not None:
        return small
    reader = await BlockReader.opened(session, uri, sandbox, own=True)
    ahead = ReadAhead(reader)
    whole = bytearray()
    try:
        end = False
        while not end:
            data, end = await ahead.next()
            whole += data
        return bytes(whole)
    finally:
        reader.close()
        await ahead.stop()


async def read_small(
    session: Session, uri: PathUri, sandbox: SandboxContext | None
) -> bytes | None:
    """Return the content of a file that fits into a block; ``None`` for a larger one.

    Both requests are sent before the first is answered. There is no question for the version:
    what is read is of one file, or read again.
    """
    while True:
        handle = await new_handle(session, uri, own=True)
        try:
            refused, block = await asyncio.gather(
                handle.open("read", sandbox), handle.read(0, BLOCK_BYTES), return_exceptions=True
            )
        finally:
            handle.close()
        failure: object = None
        try:
            if isinstance(refused, FileError):
                raise await explain_refusal(session, uri, sandbox, refused) from refused.__cause__
            for failure in (refused, block):
                # An executor that does not keep the order knows no such handle yet.
                if isinstance(failure, BaseException) and not isinstance(
                    failure, GenerationLost | RemoteFileNotFoundError
                ):
                    raise failure
            if isinstance(block, RemoteFileNotFoundError):
                return None
            if isinstance(block, tuple) and refused is None:
                data, end = block
                return data if end else None
        finally:
            del refused, block, failure  # the errors refer to this frame


async def explain_refusal(
    session: Session, uri: PathUri, sandbox: SandboxContext | None, refused: FileError
) -> FileError:
    """Return a refusal to open a file, with what the wire does not tell: it is a directory."""
    if refused.code == INVALID_REQUEST:
        with suppress(FileError):
            if is_directory(await get_metadata(session, uri, sandbox)):
                return is_directory_error(refused)
    return refused


def is_directory(metadata: FsGetMetadataResult | BaseException) -> bool:
    """Whether a question about a path was answered with: a directory."""
    return isinstance(metadata, FsGetMetadataResult) and metadata.is_directory


class ReadAhead:
    """The blocks of a file one after the other, the next ones on their way already.

    It begins with one block in flight and doubles that with each block that is taken, so
    that who reads a few bytes does not fetch megabytes.

    Args:
        reader: The file; not closed with this.
        offset: Where to begin.
    """

    def __init__(self, reader: BlockReader, offset: int = 0) -> None:
        self._reader = reader
        self._next = offset
        self._window = 1
        self._blocks: deque[asyncio.Task[tuple[bytes, bool]]] = deque()

    async def next(self) -> tuple[bytes, bool]:
        """Return the next block, and whether it is the last one there is at the moment.

        Cancelling it loses nothing: the next call returns the same block.

        Raises:
            FileError: The executor refused.
            FileHandleLostError: The connection was lost, and the file is another one now.
        """
        while len(self._blocks) < self._window:
            read = self._reader.read(self._next, BLOCK_BYTES)
            self._blocks.append(asyncio.get_running_loop().create_task(read))
            self._next += BLOCK_BYTES
        task = self._blocks[0]
        await asyncio.wait([task])
        self._blocks.popleft()
        start = self._next - BLOCK_BYTES * (len(self._blocks) + 1)
        try:
            data, short = task.result()
        except BaseException:
            await self.stop(start)
            raise
        if short:
            await self.stop(start + len(data))
        else:
            self._window = min(self._window * 2, READ_AHEAD_BLOCKS)
        return data, short

    async def stop(self, offset: int = 0) -> None:
        """Drop the blocks that are on their way; the next one begins at ``offset``."""
        blocks, self._blocks = self._blocks, deque()
        self._next = offset
        self._window = 1
        for task in blocks:
            task.cancel()
        if blocks:
            await asyncio.wait(blocks)
            for task in blocks:
                if not task.cancelled():
                    task.exception()  # seen: nobody will ask for this block
