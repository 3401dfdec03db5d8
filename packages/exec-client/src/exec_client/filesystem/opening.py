"""``FileSystem.open``: files that stay open, for reading, writing and both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from exec_server_protocol.filesystem import (
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_SANDBOXED_FILE_STREAMING,
)

from .base import FileSystemBase
from .errors import is_missing
from .open_files import BinaryReader, BinaryWriter, Opening
from .paths import FilePath, native
from .reading import BlockReader
from .text_files import TextReader, TextWriter
from .updating import BinaryUpdater
from .writing import BlockWriter

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session
    from .handles import HandleMode

__all__ = ["MODES", "OpenFiles"]

MODES: Final = {
    "r": "r", "rt": "r", "rb": "rb", "w": "w", "wt": "w", "wb": "wb", "x": "x", "xt": "x",
    "xb": "xb", "a": "a", "at": "a", "ab": "ab", "r+b": "r+b", "rb+": "r+b",
}  # fmt: skip
"""As they are written, and what they mean."""

_WRITES: Final[dict[str, HandleMode]] = {"w": "replace", "x": "create", "a": "extend"}


class OpenFiles(FileSystemBase):
    """Opening."""

    @overload
    def open(
        self, path: FilePath, mode: Literal["rb"], *, sandbox: SandboxContext | None = None
    ) -> Opening[BinaryReader]: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["wb", "xb", "ab"],
        *,
        sandbox: SandboxContext | None = None,
    ) -> Opening[BinaryWriter]: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["r+b", "rb+"],
        *,
        sandbox: SandboxContext | None = None,
    ) -> Opening[BinaryUpdater]: ...

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
        mode: Literal["w", "wt", "x", "xt", "a", "at"],
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
        connections; one that is written does not, and says so. An executor takes 128 open files
        of a connection; more of them wait, and files that are read give way while they are idle.

        Args:
            path: The file.
            mode: ``r`` and ``rb`` read; ``w`` and ``wb`` empty the file, or make it, and write;
                ``x`` and ``xb`` make one that must not be there; ``a`` and ``ab`` write at its
                end, whoever else does; ``r+b`` reads and writes one that is there.
            encoding: Of text.
            errors: What becomes of text that has no such encoding, as in ``str.encode``.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            ValueError: Another mode.
            FileNotFoundError: From entering: there is no such file, or no such folder.
            FileExistsError: From entering, with ``x``: something is there.
            UnsupportedError: From entering: the executor cannot open files like that; nothing
                was sent.
            OSError: From entering, with ``EMFILE``: there are too many files that are written,
                and none was closed for 30 s.
        """
        kind = MODES.get(mode)
        if kind is None:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")

        async def reader() -> BinaryReader:
            session, uri, policy = await self._prepare_open(path, sandbox, "r")
            block_reader = await BlockReader.opened(session, uri, policy, own=False)
            return BinaryReader(block_reader, native(uri))

        async def writer() -> BinaryWriter:
            session, uri, policy = await self._prepare_open(path, sandbox, kind[0])
            offset = 0
            if kind[0] == "a":
                offset = await self._size(uri, policy)
            block_writer = await BlockWriter.opened(
                session, uri, policy, mode=_WRITES[kind[0]], offset=offset
            )
            return BinaryWriter(block_writer, native(uri))

        async def updater() -> BinaryUpdater:
            session, uri, policy = await self._prepare_open(path, sandbox, "+")
            return await BinaryUpdater.opened(session, uri, policy)

        async def text_reader() -> TextReader:
            return TextReader(await reader(), encoding, errors)

        async def text_writer() -> TextWriter:
            return TextWriter(await writer(), encoding, errors)

        opener: Callable[[], Awaitable[Any]]
        if "+" in kind:
            opener = updater
        elif kind[0] == "r":
            opener = reader if kind.endswith("b") else text_reader
        else:
            opener = writer if kind.endswith("b") else text_writer
        return Opening(opener)

    async def _size(self, uri: PathUri, sandbox: SandboxContext | None) -> int:
        try:
            return (await self.stat(uri, sandbox=sandbox)).size
        except OSError as error:
            if is_missing(error):
                return 0
            raise

    async def _prepare_open(
        self, path: FilePath, sandbox: SandboxContext | None, kind: str
    ) -> tuple[Session, PathUri, SandboxContext | None]:
        session, uri, sandbox = await self._prepare(path, sandbox)
        if sandbox is not None:
            session.require(CAPABILITY_SANDBOXED_FILE_STREAMING, "open with a sandbox")
        if kind != "r":
            session.require(CAPABILITY_FILE_WRITE_STREAMING, "open for writing")
        if kind not in "rw":
            session.require(CAPABILITY_CREATE_APPEND, "open with x, a or +")
        return session, uri, sandbox
