"""Contents of whole files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from exec_server_protocol._scalars import encode_base64
from exec_server_protocol.filesystem import (
    CAPABILITY_ATOMIC_WRITE,
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_MODES,
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_SANDBOXED_FILE_STREAMING,
    FsReadFileParams,
    FsReadFileResult,
    FsWriteFileParams,
)
from exec_server_protocol.methods import FS_READ_FILE, FS_WRITE_FILE

from ..errors import UnsupportedError
from .attributes import check_mode
from .errors import FileError
from .opening import OpenFiles
from .paths import FilePath, native
from .reading import explain_refusal, read_whole
from .replacing import Asked, Replacing, cannot_replace

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session

__all__ = ["WHOLE_WRITE_BYTES", "Contents"]

WHOLE_WRITE_BYTES: Final = 4 * 1024 * 1024
"""Up to here a file is written in one request. Larger ones go in blocks: executors take no
frame above 16 MiB, and one large message would hold up everything behind it."""

WHOLE_MESSAGE_BYTES: Final = 44 * 1024 * 1024
"""What fits into one request where there are no blocks, or where it has to be atomic: with
base64 and a sandbox context it stays below the 64 MiB that executors take."""


class Contents(OpenFiles):
    """Reading and writing."""

    async def read_bytes(
        self,
        path: FilePath,
        *,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> bytes:
        """Return the content of a regular file.

        A lost connection is waited out.

        Args:
            path: The file.
            follow_symlinks: False refuses links anywhere on the way, and files above 512 MiB.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: There is none.
            IsADirectoryError: It is a directory.
            FileHandleLostError: The connection was lost, and the file is another one now.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        streams = sandbox is None or session.supports(CAPABILITY_SANDBOXED_FILE_STREAMING)
        if follow_symlinks and streams:
            return await read_whole(session, uri, sandbox)
        follow = None if follow_symlinks else False
        params = FsReadFileParams(path=uri, follow_symlinks=follow, sandbox=sandbox)
        try:
            answer = await self._call(session, FS_READ_FILE, params, uri)
        except FileError as error:
            raise await explain_refusal(session, uri, sandbox, error) from error.__cause__
        return FsReadFileResult.model_validate(answer).data_base64

    async def read_text(
        self,
        path: FilePath,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> str:
        """Return the content of a text file, its line ends as they are.

        Raises:
            UnicodeDecodeError: It is of another encoding.
            FileNotFoundError: There is none; and so on, as ``read_bytes``.
        """
        data = await self.read_bytes(path, follow_symlinks=follow_symlinks, sandbox=sandbox)
        return data.decode(encoding, errors)

    async def write_bytes(
        self,
        path: FilePath,
        data: bytes | bytearray | memoryview,
        *,
        atomic: bool | None = None,
        exclusive: bool = False,
        mode: int | None = None,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> int:
        """Write a whole file and return how many bytes. Its folder has to exist.

        The new content takes the place of the old in one step, as far as the executor can do that:
        a full disk leaves the old. A file that is there keeps its permissions and its owner. Its
        other hard links keep the old content.

        Args:
            path: The file; made when it is missing.
            data: Its content.
            atomic: ``None`` as above; a file that cannot be replaced (the folder takes no new
                one, it is a device) is written in place. True never does that, and waits for the
                disk. False always writes in place: hard links go on together.
            exclusive: Refuse what is there: of several callers, one wins.
            mode: Permission bits that the file is to have; ``None`` for its own, or the usual
                ones.
            follow_symlinks: False refuses links anywhere on the way. At most 44 MiB.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileExistsError: Something is there, and was not to be.
            FileNotFoundError: A folder is missing.
            PermissionError: The system or the sandbox does not let it be written.
            UnsupportedError: The executor cannot do what is asked, or not with as much; nothing
                was sent.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        size = memoryview(data).nbytes
        if atomic:
            session.require(CAPABILITY_ATOMIC_WRITE, "write_bytes with atomic")
        if exclusive:
            session.require(CAPABILITY_CREATE_APPEND, "write_bytes with exclusive")
        if mode is not None:
            check_mode(mode)
            session.require(CAPABILITY_FILE_MODES, "write_bytes with mode")
        asked = Asked(file_mode=mode, exclusive=exclusive)
        blocks = follow_symlinks and self._streams_writes(session, sandbox)
        if atomic or exclusive:
            blocks = blocks and Replacing.is_possible(session)
        if size <= (WHOLE_WRITE_BYTES if blocks else WHOLE_MESSAGE_BYTES):
            await self._write_whole(
                session,
                uri,
                data,
                sandbox,
                asked=asked,
                atomic=atomic,
                follow_symlinks=follow_symlinks,
            )
        elif blocks:
            way: Literal["either", "replace", "in place"] = "either"
            if atomic is not None:
                way = "replace" if atomic or exclusive else "in place"
            source = _Memory(native(uri), data)
            replacing = Replacing(self, session, sandbox, way=way)
            await replacing.run(source, uri, asked, _NO_TALLY)
        else:
            raise UnsupportedError(
                f"write_bytes: {size} bytes do not fit into one request, and blocks cannot refuse "
                "links, or are not known to this executor"
            )
        return size

    async def _write_whole(
        self,
        session: Session,
        uri: PathUri,
        data: bytes | bytearray | memoryview,
        sandbox: SandboxContext | None,
        *,
        asked: Asked,
        atomic: bool | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Write what fits into one request."""
        replace = session.supports(CAPABILITY_ATOMIC_WRITE) if atomic is None else atomic
        params = FsWriteFileParams(
            path=uri,
            data_base64=encode_base64(data),
            follow_symlinks=None if follow_symlinks else False,
            sandbox=sandbox,
            atomic=True if replace else None,
            exclusive=True if asked.exclusive else None,
        )
        if session.supports(CAPABILITY_FILE_MODES):
            params = params.model_copy(
                update={
                    "create_mode": asked.create_mode,
                    "file_mode": asked.file_mode,
                    "modified_at_ms": asked.modified_ms,
                    "flush": False if replace and atomic is None else None,
                }
            )
        try:
            await self._call(session, FS_WRITE_FILE, params, uri)
        except FileError as error:
            if atomic is not None or not replace or asked.exclusive or not cannot_replace(error):
                raise
            in_place = params.model_copy(update={"atomic": None, "flush": None})
            await self._call(session, FS_WRITE_FILE, in_place, uri)

    async def write_text(
        self,
        path: FilePath,
        text: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        atomic: bool | None = None,
        exclusive: bool = False,
        mode: int | None = None,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> int:
        """Write a whole text file, its line ends as they are; return how many characters.

        Raises:
            FileNotFoundError: A folder is missing; and so on, as ``write_bytes``.
        """
        await self.write_bytes(
            path,
            text.encode(encoding, errors),
            atomic=atomic,
            exclusive=exclusive,
            mode=mode,
            follow_symlinks=follow_symlinks,
            sandbox=sandbox,
        )
        return len(text)

    def _streams_writes(self, session: Session, sandbox: SandboxContext | None) -> bool:
        return session.supports(CAPABILITY_FILE_WRITE_STREAMING) and (
            sandbox is None or session.supports(CAPABILITY_SANDBOXED_FILE_STREAMING)
        )


class _Memory:
    """Bytes at hand, as ``replacing.Source``."""

    version = 0

    def __init__(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.name = name
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    async def read(self, offset: int, length: int) -> memoryview:
        return self._view[offset : offset + length]


class _NoTally:
    """Tally that counts nothing."""

    def start(self, offset: int) -> None:
        """Count nothing."""

    def move(self, offset: int, sent: int) -> None:
        """Count nothing."""


_NO_TALLY: Final = _NoTally()
