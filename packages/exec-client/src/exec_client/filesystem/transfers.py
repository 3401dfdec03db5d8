"""Files and trees between this machine and an executor.

A large file goes to a hidden one beside its target first, and takes the target's name when it
is complete: nobody sees half a file, and what a broken transfer leaves behind can be taken up.
The name of the hidden file tells which version of the source it is a part of.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from .changes import Changes
from .contents import Contents
from .download import Download, plan_download
from .paths import FilePath
from .plan import carry_out
from .trees import Trees, ahead
from .types import ProgressCallback, TransferResult
from .upload import Upload, plan_upload

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from .filesystem import FileSystem

__all__ = ["MAX_DOWNLOAD_BYTES", "Transfers"]

MAX_DOWNLOAD_BYTES: Final = 1024**4
"""Of a download unless the caller says otherwise: 1 TiB, a day at 12 MB/s. An executor is not
trusted, and a file of its may have no end."""


class Transfers(Contents, Trees, Changes):
    """Uploads and downloads."""

    async def upload(
        self,
        source: str | os.PathLike[str],
        target: FilePath,
        *,
        progress: ProgressCallback | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        sandbox: SandboxContext | None = None,
    ) -> TransferResult:
        """Copy a file or a tree from here to the executor.

        Links are followed. Directories are merged with what is there, files are replaced;
        permissions do not go along. A lost connection is waited out, and the file that was
        under way goes on from where it was.

        An executor that cannot move files, or cannot open them without emptying them, gets
        large files written in place, from the beginning again after a lost connection.

        Args:
            source: A file or a directory here.
            target: Its new name, not the folder to put it in; that folder has to exist.
            progress: Told how far it is.
            resume: Take up what an earlier attempt left behind, and leave out files that are
                complete: of the same size, and no older than their source.
            keep_partial: Leave the part of a file behind when the transfer fails, for a later
                one with ``resume``, which implies it.
            on_error: Called with each file that fails; the others go on. ``None`` ends the
                transfer with the first error.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            OSError: A source cannot be read; or, as ``FileError``, the executor refused.
            ConnectionBrokenError: The connection was lost again and again.
            SessionLostError: The connection was lost for good.
        """
        session, uri, sandbox = await self._prepare(target, sandbox)
        plan = await asyncio.to_thread(plan_upload, os.fspath(source), uri)
        plan.report(on_error)

        async def make(folder: PathUri) -> None:
            await self.mkdir(folder, parents=True, exist_ok=True, sandbox=sandbox)

        if plan.remote_folders:  # the folder above the target is not ours to make
            await self.mkdir(plan.remote_folders.pop(0), exist_ok=True, sandbox=sandbox)
        async for _ in ahead(plan.remote_folders, make):
            pass
        files = cast("FileSystem", self)
        keep = keep_partial or resume
        upload = Upload(files, session, sandbox, resume=resume, keep=keep)
        return await carry_out(plan, upload.run, progress, on_error)

    async def download(
        self,
        source: FilePath,
        target: str | os.PathLike[str],
        *,
        progress: ProgressCallback | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        max_bytes: int | None = MAX_DOWNLOAD_BYTES,
        sandbox: SandboxContext | None = None,
    ) -> TransferResult:
        """Copy a file or a tree from the executor to here.

        Links are followed. Directories are merged with what is there, files are replaced;
        times of modification go along, permissions do not. A lost connection is waited out,
        and the file that was under way goes on from where it was.

        Args:
            source: A file or a directory on the executor.
            target: Its new name, not the folder to put it in; that folder has to exist.
            progress: Told how far it is.
            resume: Take up what an earlier attempt left behind, and leave out files that are
                complete: of the same size and the same time of modification.
            keep_partial: Leave the part of a file behind when the transfer fails, for a later
                one with ``resume``, which implies it.
            on_error: Called with each file that fails; the others go on. ``None`` ends the
                transfer with the first error.
            max_bytes: Of all files together, with what an earlier attempt left; 1 TiB unless given,
                ``None`` for no limit. More ends the transfer and leaves no part of the file that
                was under way.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            OSError: A target cannot be written; or, as ``FileError``, the executor refused. With
                ``errno.EFBIG``, also with ``on_error``: there is more than ``max_bytes``.
            FileHandleLostError: A file changed with every connection that was lost.
            SessionLostError: The connection was lost for good.
        """
        session, uri, sandbox = await self._prepare(source, sandbox)
        files = cast("FileSystem", self)
        plan = await plan_download(files, uri, os.fspath(target), sandbox)
        plan.report(on_error)
        for folder in plan.local_folders:
            await asyncio.to_thread(_make_folder, folder)
        download = Download(session, sandbox, resume=resume, keep=keep_partial or resume)
        return await carry_out(plan, download.run, progress, on_error, max_bytes)


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
