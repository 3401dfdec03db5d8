"""Files from here to an executor."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from exec_server_protocol.filesystem import (
    CAPABILITY_FILE_MODES,
    CAPABILITY_LINKS,
    FsCreateDirectoryParams,
)
from exec_server_protocol.methods import FS_CREATE_DIRECTORY

from ..errors import ConnectionBrokenError
from .contents import WHOLE_WRITE_BYTES
from .errors import RemoteFileExistsError, RemoteFileNotFoundError
from .plan import (
    MAX_FRUITLESS,
    PERMISSIONS,
    FileTally,
    FileTransfer,
    FolderTransfer,
    LinkTransfer,
    Plan,
)
from .reading import get_metadata, is_directory
from .replacing import Asked, Replacing
from .trees import prefetch

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session.session import Session
    from .filesystem import FileSystem

__all__ = ["Upload", "plan_upload"]

_USUAL_FILE: Final = 0o644
_USUAL_FOLDER: Final = 0o755
"""What an executor gives to what is made there, when nobody can ask for anything else."""

_OWNER_ALL: Final = 0o700
"""What a folder needs while it is filled."""

_Above: TypeAlias = "tuple[tuple[int, int], _Above | None]"
"""Device and inode of a folder, and of those that it is in."""


def plan_upload(source: str, target: PathUri, *, follow: bool) -> Plan:
    """Look at a file or a tree here. Blocks.

    Args:
        source: A link is followed, since somebody named it.
        target: Its new name.
        follow: Copy what links lead to, instead of making them again.

    Raises:
        OSError: The source cannot be looked at, or is neither file nor directory.
    """
    plan = Plan()
    status = os.stat(source)
    if stat.S_ISREG(status.st_mode):
        plan.files.append(_file(source, target, status))
        return plan
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a directory", source)
    # Whether a folder was reached through a link: only then can it be one that it is in.
    first: tuple[str, PathUri, _Above, bool] = (source, target, (_id(status), None), False)
    folders = [first]
    plan.folders.append(FolderTransfer(source, source, target, _bits(status)))
    while folders:
        folder, uri, above, linked = folders.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            plan.errors.append(error)
            continue
        for entry in entries:
            try:
                below = uri.join(entry.name)
                is_link = entry.is_symlink()
                if is_link and not follow:
                    said = os.fsencode(os.readlink(entry.path))
                    plan.links.append(LinkTransfer(entry.path, entry.path, below, said))
                    continue
                status = entry.stat()
            except (OSError, ValueError) as error:  # a link that leads nowhere, among others
                plan.errors.append(_about(error, entry.path))
                continue
            if stat.S_ISDIR(status.st_mode):
                through = linked or is_link
                if through and _is_among(_id(status), above):
                    plan.skipped.append(entry.path)
                    continue
                plan.folders.append(FolderTransfer(entry.path, entry.path, below, _bits(status)))
                folders.append((entry.path, below, (_id(status), above), through))
            elif stat.S_ISREG(status.st_mode):
                plan.files.append(_file(entry.path, below, status))
            else:
                plan.skipped.append(entry.path)
    return plan


def _about(error: OSError | ValueError, path: str) -> OSError:
    if isinstance(error, OSError):
        return error
    return OSError(errno.EINVAL, str(error), path)


def _id(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _bits(status: os.stat_result) -> int:
    return status.st_mode & PERMISSIONS


def _is_among(folder: tuple[int, int], above: _Above | None) -> bool:
    while above is not None:
        if above[0] == folder:
            return True
        above = above[1]
    return False


def _file(path: str, target: PathUri, status: os.stat_result) -> FileTransfer:
    modified_ms = max(0, status.st_mtime_ns // 1_000_000)
    return FileTransfer(path, path, target, status.st_size, modified_ms, _bits(status))


class Upload:
    """The way of files to an executor.

    Args:
        files: The executor's files.
        session: Where they are.
        sandbox: Policy of all calls.
        resume: Take up what an earlier attempt left behind.
        keep: Leave the part of a file behind when its transfer fails.
        exclusive: Replace no file.
    """

    def __init__(
        self,
        files: FileSystem,
        session: Session,
        sandbox: SandboxContext | None,
        *,
        resume: bool,
        keep: bool,
        exclusive: bool,
    ) -> None:
        self._files = files
        self._session = session
        self._sandbox = sandbox
        self._resume = resume
        self._exclusive = exclusive
        self._modes = session.supports(CAPABILITY_FILE_MODES)
        self._replacing = Replacing(files, session, sandbox, resume=resume, keep=keep)
        self._narrow: list[FolderTransfer] = []

    @staticmethod
    def makes_links(session: Session) -> bool:
        """Whether links can be made again; where they cannot, they are followed."""
        return session.supports(CAPABILITY_LINKS)

    def note_what_is_lost(self, plan: Plan) -> None:
        """Say which files may be read by more people there than here."""
        if self._modes:
            return
        wider = [item.name for item in plan.folders if _USUAL_FOLDER & ~(item.mode or 0)]
        wider += [item.name for item in plan.files if _USUAL_FILE & ~(item.mode or 0)]
        if wider:
            more = f" and {len(wider) - 1} more" if len(wider) > 1 else ""
            plan.notes.append(
                f"{wider[0]}{more}: this executor cannot set permissions; new files there may be "
                "open to people who may not read them here"
            )

    # ------------------------------------------------------------------ folders

    async def make_folders(
        self, folders: list[FolderTransfer], on_error: Callable[[OSError], None] | None
    ) -> None:
        """Make folders that are missing, outer ones first; they get their bits at once.

        What their owner may do stays open to the owner until ``finish``.
        """

        async def make(folder: FolderTransfer) -> None:
            try:
                await self._make(folder)
            except OSError as error:
                if on_error is None:
                    raise
                on_error(error)

        if folders:
            await self._make(folders[0])  # without it there is nothing to go on with
        async for _ in prefetch(folders[1:], make):
            pass

    async def _make(self, folder: FolderTransfer) -> None:
        mode = (folder.mode or 0) | _OWNER_ALL if self._modes else None
        params = FsCreateDirectoryParams(
            path=folder.remote, recursive=False, sandbox=self._sandbox, create_mode=mode
        )
        uri, again = folder.remote, False
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await self._files._call(self._session, FS_CREATE_DIRECTORY, params, uri)
            except ConnectionBrokenError:
                again = True
                if attempt == MAX_FRUITLESS:
                    raise
            except RemoteFileNotFoundError:
                # The request for the folder above may have been lost with its connection, and
                # comes again behind this one.
                if attempt == MAX_FRUITLESS:
                    raise
                await asyncio.sleep(0)
            except RemoteFileExistsError:
                there = await get_metadata(self._session, uri, self._sandbox)
                if not is_directory(there):
                    raise
                if again and mode is not None:  # it was made by us, most likely
                    await self._files.chmod(uri, mode, sandbox=self._sandbox)
                    break
                return
            else:
                break
        if mode is not None and mode != folder.mode:
            self._narrow.append(folder)

    async def finish(self, links: list[LinkTransfer], report: Callable[[OSError], None]) -> None:
        """Make links, and take from folders what their owner may not do."""

        async def make(link: LinkTransfer) -> None:
            try:
                said = link.said or b""
                await self._files.symlink(said, link.remote, overwrite=True, sandbox=self._sandbox)
            except OSError as error:
                report(error)

        async for _ in prefetch(links, make):
            pass
        for folder in reversed(self._narrow):
            try:
                await self._files.chmod(folder.remote, folder.mode or 0, sandbox=self._sandbox)
            except OSError as error:
                report(error)

    # ------------------------------------------------------------------ files

    async def run(self, item: FileTransfer, tally: FileTally) -> None:
        """Copy one file.

        Raises:
            OSError: It cannot be read; or, as ``FileError``, the executor refused.
            ConnectionBrokenError: The connection was lost again and again.
        """
        if self._resume and await self._is_complete(item):
            tally.start(item.size)
        elif item.size <= WHOLE_WRITE_BYTES:
            data = await asyncio.to_thread(_read_file, item.local)
            await self._write_whole(item, data)
            tally.move(item.size, len(data))
        else:
            fd = await asyncio.to_thread(os.open, item.local, os.O_RDONLY | os.O_CLOEXEC)
            try:
                source = _OpenFile(item, fd)
                await self._replacing.run(source, item.remote, self._asked(item), tally)
            finally:
                os.close(fd)

    async def _is_complete(self, item: FileTransfer) -> bool:
        """Whether the target has the size of its source, and was written after that changed."""
        there = await self._files._look(item.remote, self._sandbox)
        return (
            there is not None
            and there.is_file
            and there.size == item.size
            and round((there.modified_at or 0) * 1000) >= item.modified_ms
        )

    async def _write_whole(self, item: FileTransfer, data: bytes) -> None:
        """Write a small file; once more after a lost connection, which changes nothing."""
        asked = self._asked(item)
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await self._files._write_whole(
                    self._session, item.remote, data, self._sandbox, asked=asked
                )
                return
            except ConnectionBrokenError:
                # What may be there now may be ours, and is not to be replaced if it is not.
                if attempt == MAX_FRUITLESS or self._exclusive:
                    raise

    def _asked(self, item: FileTransfer) -> Asked:
        return Asked(create_mode=item.mode, modified_ms=item.modified_ms, exclusive=self._exclusive)


class _OpenFile:
    """A file here, as ``replacing.Source``."""

    def __init__(self, item: FileTransfer, fd: int) -> None:
        self.name = item.name
        self.size = item.size
        self.version = item.modified_ms
        self._fd = fd

    async def read(self, offset: int, length: int) -> bytes:
        return await asyncio.to_thread(os.pread, self._fd, length, offset)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
