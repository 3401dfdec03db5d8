"""Permissions, times and symbolic links, as ``os`` has them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from exec_server_protocol.attributes import (
    FsCreateSymlinkParams,
    FsReadLinkParams,
    FsReadLinkResult,
    FsSetMetadataParams,
)
from exec_server_protocol.filesystem import (
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_MODES,
    CAPABILITY_LINKS,
    FsWriteFileParams,
)
from exec_server_protocol.methods import (
    FS_CREATE_SYMLINK,
    FS_READ_LINK,
    FS_SET_METADATA,
    FS_WRITE_FILE,
)

from ..connection.answers import parse_answer
from .base import FileSystemBase
from .errors import RemoteFileNotFoundError
from .paths import FilePath
from .writing import BlockWriter

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Attributes"]


class Attributes(FileSystemBase):
    """Calls about attributes of files. None of them is sent twice."""

    async def chmod(
        self,
        path: FilePath,
        mode: int,
        *,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Set the permission bits of a file or a directory.

        Args:
            path: What.
            mode: 0 to 0o7777.
            follow_symlinks: False refuses links anywhere on the way.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            ValueError: Other bits than these.
            FileNotFoundError: Nothing is there.
            PermissionError: It belongs to somebody else.
            UnsupportedError: The executor cannot set permissions; nothing was sent.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        check_mode(mode)
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_FILE_MODES, "chmod")
        follow = None if follow_symlinks else False
        params = FsSetMetadataParams(
            path=uri, file_mode=mode, follow_symlinks=follow, sandbox=sandbox
        )
        await self._call(session, FS_SET_METADATA, params, uri)

    async def utime(
        self,
        path: FilePath,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Set when a file was read and changed last, to the millisecond.

        Args:
            path: What.
            times: Time of access and of modification, Unix time in seconds; ``None`` for the
                executor's time of the moment.
            ns: The same in nanoseconds, instead.
            follow_symlinks: False refuses links anywhere on the way.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            ValueError: Both, or a time before 1970.
            FileNotFoundError: Nothing is there; and so on, as ``chmod``.
        """
        if times is not None and ns is not None:
            raise ValueError("utime takes times or ns, not both")
        milliseconds = None
        if times is not None:
            milliseconds = [int(seconds * 1000) for seconds in times]
        elif ns is not None:
            milliseconds = [count // 1_000_000 for count in ns]
        if milliseconds is not None and (len(milliseconds) != 2 or min(milliseconds) < 0):
            raise ValueError("utime takes two times, since 1970")
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_FILE_MODES, "utime")
        accessed, modified = milliseconds or (None, None)
        params = FsSetMetadataParams(
            path=uri,
            follow_symlinks=None if follow_symlinks else False,
            sandbox=sandbox,
            accessed_at_ms=accessed,
            modified_at_ms=modified,
            now=True if milliseconds is None else None,
        )
        await self._call(session, FS_SET_METADATA, params, uri)

    async def symlink(
        self,
        target: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        path: FilePath,
        *,
        overwrite: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Make a symbolic link at ``path``, in the order of ``os.symlink``.

        Args:
            target: What it says; need not exist, and is taken as it is.
            path: The link.
            overwrite: Replace what is there, in one step, unless it is a directory.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileExistsError: Something is there.
            UnsupportedError: The executor cannot make links; nothing was sent.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_LINKS, "symlink")
        params = FsCreateSymlinkParams(
            path=uri, target_base64=os.fsencode(target), overwrite=overwrite, sandbox=sandbox
        )
        await self._call(session, FS_CREATE_SYMLINK, params, uri)

    async def readlink(self, path: FilePath, *, sandbox: SandboxContext | None = None) -> str:
        """Return what a symbolic link says.

        Raises:
            OSError: With ``EINVAL``: it is no link.
            FileNotFoundError: Nothing is there.
            UnsupportedError: The executor cannot read links; nothing was sent.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_LINKS, "readlink")
        params = FsReadLinkParams(path=uri, sandbox=sandbox)
        answer = await self._call(session, FS_READ_LINK, params, uri)
        return os.fsdecode(parse_answer(FsReadLinkResult, answer, FS_READ_LINK).target_base64)

    async def touch(
        self,
        path: FilePath,
        *,
        mode: int | None = None,
        exist_ok: bool = True,
        sandbox: SandboxContext | None = None,
    ) -> None:
        """Make an empty file, or set the times of one that is there to those of the moment.

        Args:
            path: The file.
            mode: Permission bits of a new one; ``None`` for the usual ones.
            exist_ok: False refuses what is there: of several callers, one wins.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileExistsError: Something is there.
            UnsupportedError: The executor cannot do this; nothing was sent.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        session.require(CAPABILITY_CREATE_APPEND, "touch")
        if exist_ok or mode is not None:
            session.require(CAPABILITY_FILE_MODES, "touch")
        if mode is not None:
            check_mode(mode)
        if not exist_ok:
            params = FsWriteFileParams(
                path=uri, data_base64="", sandbox=sandbox, exclusive=True, create_mode=mode
            )
            await self._call(session, FS_WRITE_FILE, params, uri)
            return
        try:
            await self.utime(uri, sandbox=sandbox)
        except RemoteFileNotFoundError:
            # Appending nothing makes it, also where a link leads; somebody may be faster.
            writer = await BlockWriter.opened(
                session, uri, sandbox, mode="extend", create_mode=mode
            )
            await writer.close()


def check_mode(mode: int) -> None:
    """Refuse what is no permission bits.

    Raises:
        ValueError: It is not.
    """
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"mode {mode:#o} is not within 0 and 0o7777")
