"""Contents of files: whole, or as open files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from exec_server_protocol._scalars import encode_base64
from exec_server_protocol.filesystem import (
    CAPABILITY_ATOMIC_WRITE,
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_SANDBOXED_FILE_STREAMING,
    FsReadFileParams,
    FsReadFileResult,
    FsWriteFileParams,
)

from ..errors import UnsupportedError
from .base import FileSystemBase
from .errors import FileError
from .files import BinaryReader, BinaryWriter, Opening
from .paths import FilePath, native
from .reading import BlockReader, explained, read_whole
from .text_files import TextReader, TextWriter
from .writing import BlockWriter, blocks_of

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session import Session

__all__ = ["WHOLE_WRITE_BYTES", "Contents"]

WHOLE_WRITE_BYTES: Final = 4 * 1024 * 1024
"""Up to here a file is written in one request. Larger ones go in blocks: executors take no
frame above 16 MiB, and one large message would hold up everything behind it."""

WHOLE_MESSAGE_BYTES: Final = 44 * 1024 * 1024
"""What fits into one request where there are no blocks, or where it has to be atomic: with
base64 and a sandbox context it stays below the 64 MiB that executors take."""


_MODES: Final = {"r": "r", "rt": "r", "rb": "rb", "w": "w", "wt": "w", "wb": "wb"}


class Contents(FileSystemBase):
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
            answer = await self._call(session, "fs/readFile", params, uri, idempotent=True)
        except FileError as error:
            raise await explained(session, uri, sandbox, error) from error.__cause__
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
        atomic: bool = False,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> int:
        """Write a whole file and return how many bytes. Its folder has to exist.

        Args:
            path: The file; made when it is missing, else written in place: its mode, its
                owner and its hard links stay.
            data: Its content.
            atomic: Readers see the old or the new content, never a part. At most 44 MiB.
            follow_symlinks: False refuses links anywhere on the way. At most 44 MiB.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: A folder is missing.
            PermissionError: The system or the sandbox does not let it be written.
            UnsupportedError: The executor cannot write atomically, or not as much; nothing
                was sent.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        size = memoryview(data).nbytes
        if atomic:
            session.require(CAPABILITY_ATOMIC_WRITE, "write_bytes with atomic")
        whole = atomic or not follow_symlinks or not self._streams_writes(session, sandbox)
        if size > (WHOLE_MESSAGE_BYTES if whole else WHOLE_WRITE_BYTES):
            if whole:
                raise UnsupportedError(
                    f"write_bytes: {size} bytes do not fit into one request, and blocks "
                    "cannot be atomic, refuse links, or are not known to this executor"
                )
            await self._write_blocks(session, uri, data, sandbox)
            return size
        params = FsWriteFileParams(
            path=uri,
            data_base64=encode_base64(data),
            follow_symlinks=None if follow_symlinks else False,
            atomic=True if atomic else None,
            sandbox=sandbox,
        )
        await self._call(session, "fs/writeFile", params, uri)
        return size

    async def write_text(
        self,
        path: FilePath,
        text: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        atomic: bool = False,
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
            follow_symlinks=follow_symlinks,
            sandbox=sandbox,
        )
        return len(text)

    async def _write_blocks(
        self,
        session: Session,
        uri: PathUri,
        data: bytes | bytearray | memoryview,
        sandbox: SandboxContext | None,
    ) -> None:
        writer = await BlockWriter.opened(session, uri, sandbox)
        try:
            for block in blocks_of(data):
                await writer.write(block)
            await writer.flush()
        finally:
            await writer.close()

    def _streams_writes(self, session: Session, sandbox: SandboxContext | None) -> bool:
        return session.supports(CAPABILITY_FILE_WRITE_STREAMING) and (
            sandbox is None or session.supports(CAPABILITY_SANDBOXED_FILE_STREAMING)
        )

    @overload
    def open(
        self, path: FilePath, mode: Literal["rb"], *, sandbox: SandboxContext | None = None
    ) -> Opening[BinaryReader]: ...

    @overload
    def open(
        self, path: FilePath, mode: Literal["wb"], *, sandbox: SandboxContext | None = None
    ) -> Opening[BinaryWriter]: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["r", "rt"] = "r",
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        sandbox: SandboxContext | None = None,
    ) -> Opening[TextReader]: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["w", "wt"],
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        sandbox: SandboxContext | None = None,
    ) -> Opening[TextWriter]: ...

    def open(
        self,
        path: FilePath,
        mode: str = "r",
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        sandbox: SandboxContext | None = None,
    ) -> Opening[Any]:
        """Open a regular file: ``async with fs.open(path) as file``, or ``await`` it.

        It is closed whatever happens in the block. A file that is read survives lost
        connections; one that is written does not, and says so.

        Args:
            path: The file.
            mode: ``r`` and ``rb`` read; ``w`` and ``wb`` empty the file, or make it, and
                write. The protocol has no others.
            encoding: Of text.
            errors: What becomes of text that has no such encoding, as in ``str.encode``.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            ValueError: Another mode.
            FileNotFoundError: From entering: there is no such file, or no such folder.
            UnsupportedError: From entering: the executor cannot open files; nothing was sent.
        """
        kind = _MODES.get(mode)
        if kind is None:
            raise ValueError(f"mode {mode!r} is none of {', '.join(_MODES)}")

        async def reader() -> BinaryReader:
            session, uri, policy = await self._prepare_open(path, sandbox, writing=False)
            return BinaryReader(await BlockReader.opened(session, uri, policy), native(uri))

        async def writer() -> BinaryWriter:
            session, uri, policy = await self._prepare_open(path, sandbox, writing=True)
            return BinaryWriter(await BlockWriter.opened(session, uri, policy), native(uri))

        async def text_reader() -> TextReader:
            return TextReader(await reader(), encoding, errors)

        async def text_writer() -> TextWriter:
            return TextWriter(await writer(), encoding, errors)

        openers: dict[str, Callable[[], Awaitable[Any]]] = {
            "r": text_reader,
            "rb": reader,
            "w": text_writer,
            "wb": writer,
        }
        return Opening(openers[kind])

    async def _prepare_open(
        self, path: FilePath, sandbox: SandboxContext | None, *, writing: bool
    ) -> tuple[Session, PathUri, SandboxContext | None]:
        session, uri, sandbox = await self._prepare(path, sandbox)
        if sandbox is not None:
            session.require(CAPABILITY_SANDBOXED_FILE_STREAMING, "open with a sandbox")
        if writing:
            session.require(CAPABILITY_FILE_WRITE_STREAMING, "open for writing")
        return session, uri, sandbox
