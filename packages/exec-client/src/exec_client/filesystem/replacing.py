"""Replacing a large file on an executor in one step, block by block.

The blocks go to a hidden file beside it, which only its owner may read, and which takes the
name, the permissions and the owner of the file when it is complete. A disk that is full, or a
link that is gone for good, leaves the old file as it was.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from exec_server_protocol.attributes import FsSetMetadataParams
from exec_server_protocol.filesystem import (
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_MODES,
    CAPABILITY_MOVE,
    CAPABILITY_OPEN_UPDATE,
    FsMoveParams,
    FsRemoveParams,
)
from exec_server_protocol.methods import FS_MOVE, FS_REMOVE, FS_SET_METADATA

from ..connection.states import ClientState
from ..errors import ConnectionBrokenError
from .errors import FileError
from .handles import BLOCK_BYTES
from .paths import name_of, native, to_uri
from .plan import MAX_FRUITLESS, part_name, unique_part_name
from .reading import BlockReader
from .writing import WRITE_BEHIND_BLOCKS, BlockWriter

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session
    from .base import FileSystemBase
    from .handles import HandleMode

__all__ = ["Asked", "Replacing", "Source", "Tally", "cannot_replace"]

_PART_MODE: Final = 0o600
_LOCK_PAUSE_SECONDS: Final = 0.5
"""Between two tries to lock a part that a connection has which may be gone."""

_LOCK_WAIT_SECONDS: Final = 25.0
"""For which a lock is waited for by who goes on with a part: an executor takes up to 21 s to notice
that the link of an earlier transfer is gone."""

_IN_PLACE: Final = frozenset(
    # The folder takes no new file, or the owner cannot be kept, or the file is mounted by itself:
    # but the file itself may well be writable. It is no regular one: there is nothing to replace.
    # The folders of procfs take none either, and call that ENOENT.
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EINVAL, errno.ENAMETOOLONG,
        errno.ENOENT, errno.ENOTSUP, errno.EXDEV,
    }
)  # fmt: skip


def cannot_replace(error: FileError) -> bool:
    """Whether a file may still be written in place, when it could not be replaced."""
    return error.errno in _IN_PLACE


class Source(Protocol):
    """Source of the bytes.

    Attributes:
        name: For people.
        size: In bytes.
        version: Time of modification in milliseconds: which version of the source this is.
    """

    name: str
    size: int
    version: int

    def read(self, offset: int, length: int) -> Awaitable[bytes | memoryview]:
        """Return bytes at an offset, fewer only at the end."""


class Tally(Protocol):
    """Called with the progress."""

    def start(self, offset: int) -> None:
        """Begin, with so many bytes there already."""

    def move(self, offset: int, sent: int) -> None:
        """Be at an offset, after so many bytes more were sent."""


class Asked(NamedTuple):
    """Attributes that the file is to have.

    Attributes:
        create_mode: Permission bits, if there was no file; ``None`` for the usual ones.
        file_mode: Permission bits in any case.
        modified_ms: Time of modification.
        exclusive: There must be no file.
    """

    create_mode: int | None = None
    file_mode: int | None = None
    modified_ms: int | None = None
    exclusive: bool = False


class Replacing:
    """The way of one large file to an executor.

    Args:
        files: The executor's files.
        session: Where they are.
        sandbox: Policy of all calls.
        resume: Take up what an earlier attempt left behind.
        keep: Leave the part of a file behind when its transfer fails.
        way: ``replace`` never writes in place, ``in place`` always does.
    """

    def __init__(
        self,
        files: FileSystemBase,
        session: Session,
        sandbox: SandboxContext | None,
        *,
        resume: bool = False,
        keep: bool = False,
        way: Literal["either", "replace", "in place"] = "either",
    ) -> None:
        self._files = files
        self._session = session
        self._sandbox = sandbox
        self._resume = resume
        self._keep = keep or resume
        self._way = way
        self._modes = session.supports(CAPABILITY_FILE_MODES)
        self._locks = session.supports(CAPABILITY_CREATE_APPEND)

    @staticmethod
    def is_possible(session: Session) -> bool:
        """Whether an executor can do it at all."""
        return all(map(session.supports, (CAPABILITY_OPEN_UPDATE, CAPABILITY_MOVE)))

    async def run(self, source: Source, uri: PathUri, asked: Asked, tally: Tally) -> None:
        """Copy everything; in place where the file cannot be replaced.

        Raises:
            OSError: The source cannot be read; or, as ``FileError``, the executor refused.
            ConnectionBrokenError: The connection was lost again and again.
        """
        there = None if asked.exclusive else await self._files._look(uri, self._sandbox)
        target = uri
        if there is not None and there.is_symlink:
            target = to_uri(await self._files.realpath(uri, sandbox=self._sandbox), None)
        # A part that cannot be kept from others would show them what they may not read.
        may = (self._modes or there is None) and self.is_possible(self._session)
        if self._way == "either":
            may = may and (there is None or there.is_file)
        if may and self._way != "in place":
            try:
                await self._replace(source, target, asked, tally)
            except FileError as error:
                if there is None or self._way == "replace" or not cannot_replace(error):
                    raise
            else:
                return
        if there is not None and self._modes and asked.file_mode is not None:
            await self._set(uri, file_mode=asked.file_mode)  # before there is more to read
        try:
            await self._send(source, uri, tally, mode="replace", asked=asked)
            if self._modes and (there is None or there.is_file):
                await self._set(uri, file_mode=asked.file_mode, modified_at_ms=asked.modified_ms)
        except BaseException as error:
            if there is None and not await self._drop(uri):
                error.add_note(self._left(uri))
            raise

    async def _set(
        self, uri: PathUri, *, file_mode: int | None, modified_at_ms: int | None = None
    ) -> None:
        params = FsSetMetadataParams(
            path=uri, sandbox=self._sandbox, file_mode=file_mode, modified_at_ms=modified_at_ms
        )
        await self._files._call(self._session, FS_SET_METADATA, params, uri, idempotent=True)

    async def _replace(self, source: Source, target: PathUri, asked: Asked, tally: Tally) -> None:
        if self._keep:
            # Its name is known to whoever goes on with it, so it is for one at a time.
            part = target.parent.join(part_name(name_of(target), source.size, source.version))
            await self._session.failed_parts.wait_removed(str(part))
            try:
                await self._by_part(source, part, target, asked, tally, kept=True)
            except FileError as error:
                if error.errno != errno.EAGAIN:
                    raise
            else:
                return
        part = target.parent.join(unique_part_name(name_of(target)))
        await self._by_part(source, part, target, asked, tally, kept=False)

    async def _by_part(
        self,
        source: Source,
        part: PathUri,
        target: PathUri,
        asked: Asked,
        tally: Tally,
        *,
        kept: bool,
    ) -> None:
        try:
            await self._send(source, part, tally, mode="update" if kept else "create")
            await self._put_in_place(part, target, asked)
        except BaseException as error:
            if isinstance(error, FileError) and error.errno == errno.EAGAIN:
                raise  # it is somebody else's
            keep = kept and not (isinstance(error, FileError) and cannot_replace(error))
            if not keep and not await self._drop(part):
                error.add_note(self._left(part))
            raise

    async def _send(
        self,
        source: Source,
        to: PathUri,
        tally: Tally,
        *,
        mode: HandleMode,
        asked: Asked | None = None,
    ) -> None:
        """Send the blocks, again from the first unconfirmed one after a lost connection.

        Args:
            source: The bytes.
            to: The part, or the file itself.
            tally: Told how far it is.
            mode: ``create`` for a part of this transfer alone, ``update`` for one that others
                may go on with, ``replace`` for the file itself.
            asked: For the file itself.
        """
        staged = mode != "replace"
        lock = mode == "update" and self._locks
        create_mode = _PART_MODE if asked is None else asked.create_mode
        offset = await self._kept(source, to) if mode == "update" and self._resume else 0
        if (mode == "update" and not offset and not lock) or (mode == "create" and not self._locks):
            mode = "replace"
        loop = asyncio.get_running_loop()
        patience = loop.time() + _LOCK_WAIT_SECONDS
        fruitless = 0
        first = True
        started = False
        while True:
            writer: BlockWriter | None = None
            try:
                writer = await BlockWriter.opened(
                    self._session,
                    to,
                    self._sandbox,
                    # Once it may have been made, it is there.
                    mode="update" if offset or (staged and not first) else mode,
                    offset=offset,
                    create_mode=create_mode if self._modes else None,
                    lock=lock,
                    own=True,
                )
                if not started:
                    tally.start(offset)
                    started = True
                await _send_blocks(source, writer, tally)
                return
            except ConnectionBrokenError:
                first = False
                patience = loop.time() + _LOCK_WAIT_SECONDS
                confirmed = writer.confirmed if writer is not None else offset
                fruitless = 0 if confirmed > offset else fruitless + 1
                if fruitless > MAX_FRUITLESS:
                    raise
                offset = confirmed if staged else 0
                if started:
                    tally.move(offset, 0)
            except FileError as error:
                # The executor may still have to notice that the connection with the lock is gone.
                ours = offset > 0 or not first
                if error.errno != errno.EAGAIN or not ours or loop.time() > patience:
                    raise
                await asyncio.sleep(_LOCK_PAUSE_SECONDS)
            finally:
                if writer is not None:
                    first = False
                    await writer.close()

    async def _kept(self, source: Source, part: PathUri) -> int:
        """Return up to where the part that is there already is good.

        Its last blocks may be in any state, so they are sent again; the one before them has
        to be the same here and there, or everything is sent again.
        """
        there = await self._files._look(part, self._sandbox)
        size = min(there.size, source.size) if there is not None else 0
        offset = max(0, size // BLOCK_BYTES - WRITE_BEHIND_BLOCKS) * BLOCK_BYTES
        if not offset:
            return 0
        reader = await BlockReader.opened(self._session, part, self._sandbox, own=True)
        try:
            theirs, _ = await reader.read(offset - BLOCK_BYTES, BLOCK_BYTES)
        finally:
            reader.close()
        ours = await source.read(offset - BLOCK_BYTES, BLOCK_BYTES)
        return offset if theirs == ours else 0

    async def _put_in_place(self, part: PathUri, target: PathUri, asked: Asked) -> None:
        params = FsMoveParams(
            source_path=part,
            destination_path=target,
            overwrite=not asked.exclusive,
            sandbox=self._sandbox,
        )
        if self._modes:
            params = params.model_copy(
                update={
                    "keep_attributes": True,
                    "create_mode": asked.create_mode,
                    "file_mode": asked.file_mode,
                    "modified_at_ms": asked.modified_ms,
                }
            )
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await self._files._call(self._session, FS_MOVE, params, target)
                return
            except ConnectionBrokenError:
                if await self._files._look(part, self._sandbox) is None:
                    return  # it was moved, and only the answer was lost
                if attempt == MAX_FRUITLESS:
                    raise

    async def _drop(self, part: PathUri) -> bool:
        """Remove a part, once there is a connection. Returns whether it is gone already."""
        params = FsRemoveParams(path=part, recursive=False, force=True, sandbox=self._sandbox)

        async def remove() -> None:
            # Repeating it changes nothing: nobody else has a file of this name.
            await self._files._call(self._session, FS_REMOVE, params, part, idempotent=True)

        return await self._session.failed_parts.remove(str(part), remove)

    def _left(self, part: PathUri) -> str:
        """Say what becomes of a part that is still there."""
        if self._session.state in (ClientState.FAILED, ClientState.CLOSED):
            return f"an unfinished file is left on the executor: {native(part)}"
        return f"an unfinished file goes once the session is resumed: {native(part)}"


async def _send_blocks(source: Source, writer: BlockWriter, tally: Tally) -> None:
    while writer.offset < source.size:
        length = min(BLOCK_BYTES, source.size - writer.offset)
        data = await source.read(writer.offset, length)
        if not data:
            raise OSError(errno.EIO, "became shorter while it was being copied", source.name)
        before = writer.confirmed
        await writer.write(data)
        tally.move(writer.confirmed, writer.confirmed - before)
    before = writer.confirmed
    await writer.flush()
    tally.move(writer.confirmed, writer.confirmed - before)
