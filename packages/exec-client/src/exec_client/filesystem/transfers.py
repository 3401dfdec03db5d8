"""Files and trees between this machine and an executor.

A large file goes to a hidden one beside its target first, and takes the target's name when it
is complete: nobody sees half a file. The hidden one has another name every time, unless somebody
may go on with it: then its name tells which version of the source it is a part of, and it is
locked, so that of equal transfers at once none writes to the part of another.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from exec_server_protocol.capabilities import CAPABILITY_CREATE_APPEND

from .changes import Changes
from .contents import Contents
from .download import Download, plan_download
from .paths import FilePath
from .plan import run_transfer
from .trees import Trees
from .types import ProgressCallback, TransferResult
from .upload import Upload, plan_upload

if TYPE_CHECKING:
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
        follow_symlinks: bool = False,
        exclusive: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        sandbox: SandboxContext | None = None,
    ) -> TransferResult:
        """Copy a file or a tree from here to the executor.

        Directories are merged with what is there. A file that is there is replaced in one step,
        and keeps its permissions and its owner; a new one, and a new directory, gets the
        permissions of its source (not setuid and setgid). Times of modification go along. Links
        in a tree are made again; a link that is the source itself is followed. A lost connection
        is waited out, and the file that was under way goes on from where it was.

        An executor without the extensions for all this gets files written in place, with the
        permissions that it gives them, and what links lead to; ``notes`` of the result says so
        where more people may read a file than here.

        Args:
            source: A file or a directory here.
            target: Its new name, not the folder to put it in; that folder has to exist.
            progress: Told how far it is.
            resume: Take up what an earlier attempt left behind, and leave out files that are
                complete: of the same size, and no older than their source.
            keep_partial: Leave the part of a file behind when the transfer fails, for a later
                one with ``resume``, which implies it.
            follow_symlinks: In a tree, copy what links lead to instead of making them again. A link
                into a circle is left out.
            exclusive: Replace no file: one that is there is a ``FileExistsError``, and of several
                uploads at once, one makes it. Not with ``resume``.
            on_error: Called with each file that fails; the others go on. ``None`` ends the
                transfer with the first error.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            OSError: A source cannot be read; or, as ``FileError``, the executor refused.
            ConnectionBrokenError: The connection was lost again and again.
            SessionLostError: The connection was lost for good.
            UnsupportedError: The executor cannot refuse to replace a file.
        """
        if exclusive and resume:
            raise ValueError("exclusive and resume exclude each other")
        session, uri, sandbox = await self._prepare(target, sandbox)
        if exclusive:
            session.require(CAPABILITY_CREATE_APPEND, "upload with exclusive")
        follow = follow_symlinks or not Upload.makes_links(session)
        plan = await asyncio.to_thread(plan_upload, os.fspath(source), uri, follow=follow)
        plan.report(on_error)
        files = cast("FileSystem", self)
        keep = keep_partial or resume
        upload = Upload(files, session, sandbox, resume=resume, keep=keep, exclusive=exclusive)
        upload.note_what_is_lost(plan)
        await upload.make_folders(plan.folders, on_error)
        result = await run_transfer(plan, upload.run, progress, on_error)
        await upload.finish(plan.links, on_error or _raise)
        return result

    async def download(
        self,
        source: FilePath,
        target: str | os.PathLike[str],
        *,
        progress: ProgressCallback | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        follow_symlinks: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        max_bytes: int | None = MAX_DOWNLOAD_BYTES,
        sandbox: SandboxContext | None = None,
    ) -> TransferResult:
        """Copy a file or a tree from the executor to here.

        As ``upload``, in the other direction. Nothing is made outside of the target, whatever the
        executor sends: a link that is in the way of a directory of the tree is an error, one in
        the way of a file is replaced.

        Args:
            source: A file or a directory on the executor.
            target: Its new name, not the folder to put it in; that folder has to exist.
            progress: Told how far it is.
            resume: Take up what an earlier attempt left behind, and leave out files that are
                complete: of the same size and the same time of modification.
            keep_partial: Leave the part of a file behind when the transfer fails, for a later
                one with ``resume``, which implies it.
            follow_symlinks: In a tree, copy what links lead to instead of making them again. A link
                into a circle is left out.
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
        here = os.fspath(target)
        plan = await plan_download(files, session, uri, here, sandbox, follow=follow_symlinks)
        plan.report(on_error)
        keep = keep_partial or resume
        download = Download(files, session, sandbox, resume=resume, keep=keep)
        try:
            await download.make_folders(here, plan.folders, on_error)
            result = await run_transfer(plan, download.run, progress, on_error, max_bytes)
            await download.finish(plan.links, on_error or _raise)
        finally:
            download.close()
        return result


def _raise(error: OSError) -> None:
    raise error
