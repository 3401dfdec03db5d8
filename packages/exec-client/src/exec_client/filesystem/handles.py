"""Open files of one connection. They end with it, whatever becomes of the session.

Requests about files keep their order on a connection, so a block may be asked for before the
answer to the open is there, and a close may be sent before the answer to the last block.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from exec_server_protocol.errors import RpcError
from exec_server_protocol.filesystem import (
    FsCloseParams,
    FsOpenParams,
    FsReadBlockParams,
    FsReadBlockResult,
    FsWriteBlockParams,
)
from exec_server_protocol.limits import FILE_BLOCK_MAX_BYTES
from exec_server_protocol.methods import FS_CLOSE, FS_OPEN, FS_READ_BLOCK, FS_WRITE_BLOCK

from ..connection.answers import parse_answer
from ..connection.calls import request
from ..connection.generation import GenerationLost
from ..errors import BadAnswerError
from .errors import to_file_error
from .paths import native

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..connection.generation import Generation
    from ..session.file_slots import Slot
    from ..session.session import Session

__all__ = ["BLOCK_BYTES", "Handle", "HandleMode", "new_handle"]

BLOCK_BYTES: Final = FILE_BLOCK_MAX_BYTES
"""The largest block of the wire: 1 MiB."""

HandleMode = Literal["read", "replace", "update", "create", "extend", "modify"]


async def new_handle(session: Session, uri: PathUri, *, own: bool) -> Handle:
    """Return a handle on the connection of the moment, once there is room for it.

    Args:
        session: Whose file it is.
        uri: The file.
        own: See ``HandleSlots.take``.

    Raises:
        OSError: There is no room.
    """
    try:
        slot = await session.file_slots.take(own=own)
    except OSError as error:
        raise OSError(error.errno, error.strerror, native(uri)) from error
    try:
        return Handle(session, await session.live_generation(), uri, slot)
    except BaseException:
        slot.release()
        raise


class Handle:
    """One ``fs/open``, bound to the connection that it was sent on.

    Args:
        session: Whose file it is.
        generation: The connection.
        uri: The file.
        slot: Room for it, given back when it is closed.

    Attributes:
        generation: The connection.
    """

    def __init__(self, session: Session, generation: Generation, uri: PathUri, slot: Slot) -> None:
        self._session = session
        self._slot = slot
        self.generation = generation
        self._uri = uri
        self._id = uuid.uuid4().hex
        self._sent = False
        self._closing = False

    @property
    def lost(self) -> bool:
        """Whether its connection is over."""
        return self.generation.lost

    async def open(
        self,
        mode: HandleMode,
        sandbox: SandboxContext | None,
        *,
        create_mode: int | None = None,
        lock: bool = False,
    ) -> None:
        """Open the file. To be followed by ``close``, also when this is cancelled.

        Args:
            mode: How.
            sandbox: Under which policy.
            create_mode: Permission bits of a file that is made; needs ``fsFileModes``.
            lock: Refuse a file that somebody else has locked; needs ``fsCreateAppend``.

        Raises:
            FileError: The executor refused.
            GenerationLost: The connection is over.
        """
        self._sent = True
        params = FsOpenParams(
            handle_id=self._id,
            path=self._uri,
            mode=mode,
            sandbox=sandbox,
            create_mode=create_mode,
            lock=lock or None,
        )
        try:
            await request(self._session, FS_OPEN, params, only=self.generation)
        except RpcError as error:
            self._sent = False
            raise to_file_error(error, native(self._uri)) from error

    async def read(self, offset: int, length: int) -> tuple[bytes, bool]:
        """Return the bytes at an offset, and whether the file had fewer.

        Args:
            offset: In bytes, from 0.
            length: 1 to ``BLOCK_BYTES``.

        Raises:
            FileError: The executor refused.
            BadAnswerError: The block has a length that it cannot have.
            GenerationLost: The connection is over.
        """
        params = FsReadBlockParams(handle_id=self._id, offset=offset, len=length)
        try:
            answer = await request(self._session, FS_READ_BLOCK, params, only=self.generation)
        except RpcError as error:
            raise to_file_error(error, native(self._uri)) from error
        result = parse_answer(FsReadBlockResult, answer, FS_READ_BLOCK)
        # Less than was asked for is the end, and nothing else is: an executor that says otherwise
        # would have a reader ask for ever, or shift what follows.
        if len(result.chunk) > length or result.eof != (len(result.chunk) < length):
            raise BadAnswerError("a block of a file has another length than it says")
        return result.chunk, result.eof

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write at an offset.

        Args:
            offset: In bytes, from 0; a gap before it becomes zeros.
            data: 1 to ``BLOCK_BYTES`` bytes.

        Raises:
            FileError: The executor refused.
            GenerationLost: The connection is over.
        """
        params = FsWriteBlockParams(handle_id=self._id, offset=offset, chunk=bytes(data))
        try:
            await request(self._session, FS_WRITE_BLOCK, params, only=self.generation)
        except RpcError as error:
            raise to_file_error(error, native(self._uri)) from error

    def close(self) -> None:
        """Close it in the background. Repeating it does nothing.

        Nothing of the file is left when this is called: the executor has answered for every
        block, and closes what its connection leaves behind.
        """
        if self._sent and not self.lost:
            self._sent = False
            closing = self._session.background.start(self._close(), "exec-client-file-close")
            if closing is not None:
                # Not before: the executor would refuse who is faster.
                self._closing = True
                closing.add_done_callback(lambda _: self._slot.release())
        if not self._closing:
            self._slot.release()

    async def _close(self) -> None:
        with suppress(RpcError, GenerationLost):
            params = FsCloseParams(handle_id=self._id)
            await request(self._session, FS_CLOSE, params, only=self.generation)
