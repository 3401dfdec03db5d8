"""Base of the file calls: paths, policy, the session; and questions about one path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from exec_server_protocol.errors import RpcError
from exec_server_protocol.filesystem import (
    CAPABILITY_FILE_MODES,
    FsCanonicalizeParams,
    FsCanonicalizeResult,
)
from exec_server_protocol.methods import FS_CANONICALIZE

from ..connection.calls import P, request
from .errors import FileError, is_missing, to_file_error
from .paths import FilePath, native, to_uri
from .reading import get_metadata
from .types import FileStat

if TYPE_CHECKING:
    from exec_server_protocol.methods import Method
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session

__all__ = ["FileSystemBase"]


class FileSystemBase:
    """The session and the policy of file calls; and questions about one path.

    Args:
        connect: Returns the session, connecting first where needed.
        sandbox: Policy of calls without one of their own; ``None`` for the client's default.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Session]], sandbox: SandboxContext | None = None
    ) -> None:
        self._connect = connect
        self._sandbox = sandbox

    async def session(self) -> Session:
        """Return the session that calls go to, connecting first where needed."""
        return await self._connect()

    async def stat(
        self,
        path: FilePath,
        *,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> FileStat:
        """Return what is at a path.

        Args:
            path: A file, a directory, or anything else.
            follow_symlinks: False refuses a link, at the path or on the way to it.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: Nothing is there, or a link leads nowhere.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        follow = None if follow_symlinks else False
        return FileStat.from_wire(await get_metadata(session, uri, sandbox, follow_symlinks=follow))

    async def lstat(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> FileStat:
        """Return what is at a path: of a link, the link itself, wherever it leads.

        Raises:
            FileNotFoundError: Nothing is there.
            UnsupportedError: The executor does not tell links from their targets.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_FILE_MODES, "lstat")
        return FileStat.from_wire(await get_metadata(session, uri, sandbox, link=True))

    async def exists(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> bool:
        """Return whether something is at a path; a link that leads nowhere does not count."""
        return await self._look(path, sandbox) is not None

    async def is_file(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> bool:
        """Return whether a path is a regular file, or a link to one."""
        found = await self._look(path, sandbox)
        return found is not None and found.is_file

    async def is_dir(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> bool:
        """Return whether a path is a directory, or a link to one."""
        found = await self._look(path, sandbox)
        return found is not None and found.is_dir

    async def is_symlink(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> bool:
        """Return whether a path is a symbolic link.

        An executor without ``fsFileModes`` does not tell those that lead nowhere.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        link = session.supports(CAPABILITY_FILE_MODES)
        try:
            return (await get_metadata(session, uri, sandbox, link=link)).is_symlink
        except FileError as error:
            if is_missing(error):
                return False
            raise

    async def _look(self, path: FilePath, sandbox: SandboxContext | None) -> FileStat | None:
        try:
            return await self.stat(path, sandbox=sandbox)
        except FileError as error:
            if is_missing(error):
                return None
            raise

    async def realpath(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> str:
        """Return the absolute path without links. What it names has to exist.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        params = FsCanonicalizeParams(path=uri, sandbox=sandbox)
        answer = await self._call(session, FS_CANONICALIZE, params, uri)
        return native(FsCanonicalizeResult.model_validate(answer).path)

    # ------------------------------------------------------------------ for all of them

    async def _prepare(
        self, path: FilePath, sandbox: SandboxContext | None
    ) -> tuple[Session, PathUri, SandboxContext | None]:
        """Return what a call needs: where it goes, the path, and the policy that holds."""
        session = await self._connect()
        uri = to_uri(path, session.cwd)
        return session, uri, self._policy(session, sandbox)

    def _policy(self, session: Session, sandbox: SandboxContext | None) -> SandboxContext | None:
        """Return the policy of a call: its own, else this object's, else the client's."""
        return sandbox or self._sandbox or session.options.sandbox

    @staticmethod
    async def _call(
        session: Session,
        method: Method[P, Any],
        params: P,
        uri: PathUri,
        *,
        idempotent: bool | None = None,
    ) -> Any:
        try:
            return await request(session, method, params, idempotent=idempotent)
        except RpcError as error:
            raise to_file_error(error, native(uri)) from error
