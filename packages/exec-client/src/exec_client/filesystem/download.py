"""Files from an executor to here."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from exec_server_protocol.filesystem import CAPABILITY_LINKS

from ..session.failed_parts import CLEAN_UP_SECONDS
from .errors import FileError, FileHandleLostError
from .handles import BLOCK_BYTES
from .local_file import LocalFile, look_at
from .local_tree import LocalTree
from .paths import native, to_uri
from .plan import (
    MAX_ENTRIES,
    MAX_FRUITLESS,
    PERMISSIONS,
    FileTally,
    FileTransfer,
    FolderTransfer,
    LimitReached,
    LinkTransfer,
    Plan,
)
from .reading import BlockReader, ReadAhead, read_small
from .trees import prefetch

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session
    from .filesystem import FileSystem
    from .types import DirectoryItem, FileStat

__all__ = ["Download", "plan_download"]


class _Above(NamedTuple):
    """A folder without links on its path, and those that it is in."""

    real: str
    outer: _Above | None


class _Folder(NamedTuple):
    """A folder to be listed.

    Attributes:
        remote: Its path.
        below: Its path below the folder of the tree, here.
        above: It, and what it is in.
    """

    remote: str
    below: str
    above: _Above


async def plan_download(
    files: FileSystem,
    session: Session,
    source: PathUri,
    target: str,
    sandbox: SandboxContext | None,
    *,
    follow: bool,
) -> Plan:
    """Look at a file or a tree on an executor.

    Raises:
        FileError: The source cannot be looked at.
        OSError: It is neither file nor directory, or a tree without an end.
    """
    there = await files.stat(source, sandbox=sandbox)
    planning = _Planning(files, sandbox, follow=follow or not session.supports(CAPABILITY_LINKS))
    plan = planning.plan
    if there.is_file:
        plan.files.append(_file(native(source), source, target, there))
    elif not there.is_dir:
        raise OSError(errno.EINVAL, "neither a file nor a directory", native(source))
    else:
        plan.folders.append(FolderTransfer(native(source), "", source, _bits(there.mode)))
        await planning.walk(native(source))
    if there.mode is None:
        plan.notes.append(
            "this executor does not tell permissions: new files here have the usual ones, and may "
            "be open to people who may not read them there"
        )
    return plan


class _Planning:
    """Looks at a tree, level by level."""

    def __init__(self, files: FileSystem, sandbox: SandboxContext | None, *, follow: bool) -> None:
        self._files = files
        self._sandbox = sandbox
        self._follow = follow
        self._entries = 0
        self.plan = Plan()

    async def walk(self, root: str) -> None:
        """Plan a directory with everything in it."""
        real = await self._files.realpath(root, sandbox=self._sandbox) if self._follow else root
        level = [_Folder(root.rstrip("/"), "", _Above(real.rstrip("/"), None))]
        while level:
            below: list[_Folder] = []
            async for folder, items in prefetch(level, self._list):
                if isinstance(items, FileError):
                    self.plan.errors.append(items)
                    continue
                self._entries += len(items)
                if self._entries > MAX_ENTRIES:
                    raise OSError(errno.EFBIG, f"more than {MAX_ENTRIES:,} entries", root)
                known = [item for item in items if item.is_symlink is not None]
                for item in known:
                    await self._take(folder, item, item.is_symlink or False, None, below)
                unknown = [item for item in items if item.is_symlink is None]
                async for item, status in prefetch(unknown, self._stat):
                    if isinstance(status, FileError):
                        self.plan.errors.append(status)
                    else:
                        await self._take(folder, item, status.is_symlink, status, below)
            level = below

    async def _list(self, folder: _Folder) -> list[DirectoryItem] | FileError:
        try:
            return await self._files._list(folder.remote or "/", self._sandbox)
        except FileError as error:
            return error

    async def _stat(self, item: DirectoryItem) -> FileStat | FileError:
        try:
            return await self._files.stat(item.path, sandbox=self._sandbox)
        except FileError as error:
            return error

    async def _take(
        self,
        folder: _Folder,
        item: DirectoryItem,
        is_link: bool,
        status: FileStat | None,
        level: list[_Folder],
    ) -> None:
        """Plan one entry.

        Args:
            folder: Where it is.
            item: What the listing tells.
            is_link: Whether it is a link.
            status: What was asked besides, of an executor that does not tell with the listing.
            level: Gets folders to be listed.
        """
        plan = self.plan
        local = f"{folder.below}/{item.name}" if folder.below else item.name
        uri = to_uri(item.path, None)
        is_dir, is_file = (
            (item.is_dir, item.is_file) if status is None else (status.is_dir, status.is_file)
        )
        if is_link and not self._follow:
            plan.links.append(LinkTransfer(item.path, local, uri))
        elif is_dir:
            above = await self._enter(folder, item, is_link=is_link)
            if above is None:
                plan.skipped.append(item.path)
                return
            mode = item.mode if status is None else status.mode
            plan.folders.append(FolderTransfer(item.path, local, uri, _bits(mode)))
            level.append(_Folder(item.path, local, above))
        elif is_file and status is not None:
            plan.files.append(_file(item.path, uri, local, status))
        elif is_file and item.size is not None:
            modified_ms = round((item.modified_at or 0) * 1000)
            mode = _bits(item.mode)
            plan.files.append(FileTransfer(item.path, local, uri, item.size, modified_ms, mode))
        else:
            await self._leave_out(item, is_link=is_link)

    async def _leave_out(self, item: DirectoryItem, *, is_link: bool) -> None:
        if is_link:  # it leads nowhere: the executor says why
            status = await self._stat(item)
            if isinstance(status, FileError):
                self.plan.errors.append(status)
                return
        self.plan.skipped.append(item.path)

    async def _enter(self, folder: _Folder, item: DirectoryItem, *, is_link: bool) -> _Above | None:
        """Return where a folder really is; ``None`` when it is one of those that it is in."""
        linked = is_link or folder.above.real != folder.remote
        real = f"{folder.above.real}/{item.name}"
        if is_link:
            try:
                real = await self._files.realpath(item.path, sandbox=self._sandbox)
            except FileError:
                return None
        above: _Above | None = folder.above
        while linked and above is not None:
            if above.real == real.rstrip("/"):
                return None
            above = above.outer
        return _Above(real.rstrip("/"), folder.above)


def _file(name: str, remote: PathUri, local: str, there: FileStat) -> FileTransfer:
    modified_ms = round((there.modified_at or 0) * 1000)
    return FileTransfer(name, local, remote, there.size, modified_ms, _bits(there.mode))


def _bits(mode: int | None) -> int | None:
    return None if mode is None else mode & PERMISSIONS


class Download:
    """The way of files from an executor.

    Args:
        files: The executor's files.
        session: Where it is.
        sandbox: Policy of all calls.
        resume: Take up what an earlier attempt left behind.
        keep: Leave the part of a file behind when its transfer fails.
    """

    def __init__(
        self,
        files: FileSystem,
        session: Session,
        sandbox: SandboxContext | None,
        *,
        resume: bool,
        keep: bool,
    ) -> None:
        self._files = files
        self._session = session
        self._sandbox = sandbox
        self._resume = resume
        self._keep = keep
        self._tree: LocalTree | None = None

    # ------------------------------------------------------------------ folders and links

    async def make_folders(
        self,
        target: str,
        folders: list[FolderTransfer],
        on_error: Callable[[OSError], None] | None,
    ) -> None:
        """Make folders that are missing, outer ones first; they get their bits at once."""
        if folders:
            self._tree = await asyncio.to_thread(LocalTree, target, folders[0].mode)
        for folder in folders[1:]:
            try:
                await asyncio.to_thread(self._make_folder, folder)
            except OSError as error:
                if on_error is None:
                    raise
                on_error(error)

    def _make_folder(self, folder: FolderTransfer) -> None:
        if self._tree is not None:
            self._tree.make_folder(folder.local, folder.mode)

    async def finish(self, links: list[LinkTransfer], report: Callable[[OSError], None]) -> None:
        """Make links, and take from folders what their owner may not do."""
        tree = self._tree
        if tree is None:
            return

        async def read(link: LinkTransfer) -> str | OSError:
            try:
                return await self._files.readlink(link.remote, sandbox=self._sandbox)
            except OSError as error:
                return error

        async for link, said in prefetch(links, read):
            try:
                if isinstance(said, OSError):
                    report(said)
                else:
                    await asyncio.to_thread(tree.make_link, link.local, os.fsencode(said))
            except (OSError, ValueError) as error:
                about = error if isinstance(error, OSError) else None
                report(about or OSError(errno.EINVAL, str(error), tree.path(link.local)))
        try:
            await asyncio.to_thread(tree.finish)
        except OSError as error:
            report(error)

    def close(self) -> None:
        """Close the folders."""
        if self._tree is not None:
            self._tree.close()

    # ------------------------------------------------------------------ files

    async def run(self, item: FileTransfer, tally: FileTally) -> None:
        """Copy one file.

        Raises:
            OSError: It cannot be written; or, as ``FileError``, the executor refused.
            FileHandleLostError: It changed with every connection that was lost.
        """
        if self._resume and await asyncio.to_thread(_is_complete, item, self._tree):
            tally.start(item.size)
            return
        copy = self._copy_small if item.size < BLOCK_BYTES else self._copy
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await copy(item, tally)
                return
            except FileHandleLostError:
                if attempt == MAX_FRUITLESS:
                    raise
                tally.move(0, 0)  # it is another file now: from the beginning

    async def _copy_small(self, item: FileTransfer, tally: FileTally) -> None:
        """Copy a file that was small when it was looked at, with one round trip and one thread."""
        data = await read_small(self._session, item.remote, self._sandbox)
        if data is None:  # it has grown, or never was: no reason to hold it in memory
            await self._copy(item, tally)
            return
        await asyncio.to_thread(_write_whole, item, self._tree, data)
        tally.move(len(data), len(data))

    async def _copy(self, item: FileTransfer, tally: FileTally) -> None:
        reader = await BlockReader.opened(self._session, item.remote, self._sandbox, own=True)
        ahead = ReadAhead(reader)
        try:
            target = LocalFile(item, self._tree, reader.size, reader.modified_ms)
            try:
                await asyncio.to_thread(target.open, resume=self._resume, keep=self._keep)
                await self._fetch(ahead, target, tally)
                await asyncio.to_thread(target.finish)
            except BaseException as error:
                # Nobody goes on with more than may be: what there is of it would stay for good.
                keep = self._keep and not isinstance(error, LimitReached)
                # In a thread: one that was cancelled may still be writing, and comes first. A
                # FIFO that nobody reads may hold it up, and must not hold us up.
                over = asyncio.ensure_future(asyncio.to_thread(target.abandon, keep=keep))
                await asyncio.wait([over], timeout=CLEAN_UP_SECONDS)
                raise
        finally:
            reader.close()
            await ahead.stop()

    async def _fetch(self, ahead: ReadAhead, target: LocalFile, tally: FileTally) -> None:
        await ahead.stop(target.offset)
        tally.start(target.offset)
        end = False
        while not end:
            data, end = await ahead.next()
            # Counted first: nothing is written beyond the limit.
            tally.move(target.offset + len(data), len(data))
            await asyncio.to_thread(target.write, data)


def _write_whole(item: FileTransfer, tree: LocalTree | None, data: bytes) -> None:
    target = LocalFile(item, tree, item.size, item.modified_ms)
    try:
        target.open(resume=False, keep=False)
        target.write(data)
        target.finish()
    except BaseException:
        target.abandon(keep=False)
        raise


def _is_complete(item: FileTransfer, tree: LocalTree | None) -> bool:
    """Whether the target has the size and the time of its source."""
    status = look_at(item, tree)
    return (
        status is not None
        and stat.S_ISREG(status.st_mode)
        and status.st_size == item.size
        and status.st_mtime_ns // 1_000_000 == item.modified_ms
    )
