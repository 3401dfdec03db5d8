"""Making, removing, copying and moving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exec_server_protocol.filesystem import (
    CAPABILITY_FILE_MODES,
    CAPABILITY_LINKS,
    CAPABILITY_MOVE,
    FsCopyParams,
    FsCopyResult,
    FsCreateDirectoryParams,
    FsMoveParams,
    FsRemoveParams,
)
from exec_server_protocol.methods import FS_COPY, FS_CREATE_DIRECTORY, FS_MOVE, FS_REMOVE

from ..connection.answers import parse_answer
from .base import FileSystemBase
from .errors import RemoteFileExistsError
from .paths import FilePath, native, to_uri
from .reading import get_metadata, is_directory

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session

__all__ = ["Changes"]


class Changes(FileSystemBase):
    """Calls that change the tree. None of them is sent twice."""

    async def mkdir(
        self,
        path: FilePath,
        *,
        parents: bool = False,
        exist_ok: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Make a directory.

        Args:
            path: Where.
            parents: Make the folders above it too.
            exist_ok: A directory that is there already is fine.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileExistsError: Something is there.
            FileNotFoundError: A folder above it is missing.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        if parents and not exist_ok:
            await self._make(session, uri.parent, sandbox, recursive=True)
        try:
            await self._make(session, uri, sandbox, recursive=parents and exist_ok)
        except RemoteFileExistsError:
            if not exist_ok or not is_directory(await get_metadata(session, uri, sandbox)):
                raise

    async def _make(
        self, session: Session, uri: PathUri, sandbox: SandboxContext | None, *, recursive: bool
    ) -> None:
        params = FsCreateDirectoryParams(path=uri, recursive=recursive, sandbox=sandbox)
        # Where an existing directory is fine, asking twice changes nothing.
        await self._call(session, FS_CREATE_DIRECTORY, params, uri, idempotent=recursive)

    async def remove(
        self,
        path: FilePath,
        *,
        recursive: bool = False,
        missing_ok: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Remove a file, a link (never its target), or a directory.

        Args:
            path: What.
            recursive: Remove a directory with everything in it.
            missing_ok: Nothing being there is fine.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: Nothing is there.
            OSError: With ``ENOTEMPTY``: a directory that is not empty.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        params = FsRemoveParams(path=uri, recursive=recursive, force=missing_ok, sandbox=sandbox)
        await self._call(session, FS_REMOVE, params, uri)

    async def copy(
        self,
        source: FilePath,
        target: FilePath,
        *,
        recursive: bool = False,
        follow_symlinks: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> list[str]:
        """Copy a file, or a tree, on the executor; return what was left out.

        A file that is there is replaced, in one step where the executor can do that; directories
        are merged. Links in a tree are copied as links; permissions are, times are not. Holes
        stay holes. What is no file, directory or link is left out; an executor without
        ``fsLinks`` does not tell.

        Args:
            source: What.
            target: Its new name, not the folder to put it in.
            recursive: Allow a directory.
            follow_symlinks: Copy what links lead to; a link into a circle is left out.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: There is no such source, or no folder for the target.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(source, sandbox)
        to = to_uri(target, session.cwd)
        if follow_symlinks:
            session.require(CAPABILITY_LINKS, "copy with follow_symlinks")
        params = FsCopyParams(
            source_path=uri,
            destination_path=to,
            recursive=recursive,
            sandbox=sandbox,
            atomic=True if session.supports(CAPABILITY_FILE_MODES) else None,
            follow_symlinks=True if follow_symlinks else None,
            list_skipped=True if session.supports(CAPABILITY_LINKS) else None,
        )
        answer = await self._call(session, FS_COPY, params, uri)
        result = parse_answer(FsCopyResult, answer, FS_COPY)
        return [native(path) for path in result.skipped or ()]

    async def move(
        self,
        source: FilePath,
        target: FilePath,
        *,
        overwrite: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Rename a file or a directory, also from one file system to another.

        Args:
            source: What.
            target: Its new name, not the folder to put it in.
            overwrite: Replace a file that is there.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileExistsError: Something is at the target.
            UnsupportedError: The executor cannot move; nothing was sent. Copying and then
                removing would not be the same: others would see both, or half of one.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(source, sandbox)
        session.require(CAPABILITY_MOVE, "move")
        to = to_uri(target, session.cwd)
        params = FsMoveParams(
            source_path=uri, destination_path=to, overwrite=overwrite, sandbox=sandbox
        )
        await self._call(session, FS_MOVE, params, uri)
