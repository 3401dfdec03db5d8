"""Files from an executor to here."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ..failed_parts import CLEAN_UP_SECONDS
from .errors import FileError, FileHandleLostError
from .handles import BLOCK_BYTES
from .paths import native, to_uri
from .plan import MAX_FRUITLESS, FileTally, FileTransfer, LimitReached, Plan, part_name
from .reading import BlockReader, ReadAhead, read_small
from .trees import ahead

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session import Session
    from .filesystem import FileSystem
    from .types import FileStat

__all__ = ["Download", "plan_download"]


async def plan_download(
    files: FileSystem, source: PathUri, target: str, sandbox: SandboxContext | None
) -> Plan:
    """Look at a file or a tree on an executor.

    Raises:
        FileError: The source cannot be looked at.
        OSError: It is neither file nor directory.
    """
    plan = Plan()
    there = await files.stat(source, sandbox=sandbox)
    if there.is_file:
        plan.files.append(_file(source, target, there))
        return plan
    if not there.is_dir:
        raise OSError(errno.EINVAL, "neither a file nor a directory", native(source))
    root, target = native(source).rstrip("/"), target.rstrip("/") or "/"
    found: list[tuple[str, str]] = []
    async for step in files._walk(
        source,
        follow_symlinks=True,
        on_error=plan.errors.append,
        on_alias=plan.skipped.append,
        sandbox=sandbox,
    ):
        here = target + step.path[len(root) :].rstrip("/")
        plan.local_folders.append(here)
        found += [(f"{step.path.rstrip('/')}/{name}", f"{here}/{name}") for name in step.files]

    async def look(names: tuple[str, str]) -> FileStat | FileError:
        try:
            return await files.stat(names[0], sandbox=sandbox)
        except FileError as error:
            return error

    async for (remote, local), status in ahead(found, look):
        if isinstance(status, FileError):
            plan.errors.append(status)
        elif status.is_file:
            plan.files.append(_file(to_uri(remote, None), local, status))
        else:
            plan.skipped.append(remote)
    return plan


def _file(remote: PathUri, local: str, there: FileStat) -> FileTransfer:
    modified_ms = round((there.modified_at or 0) * 1000)
    return FileTransfer(native(remote), local, remote, there.size, modified_ms)


class Download:
    """The way of one file from an executor.

    Args:
        session: Where it is.
        sandbox: Policy of all calls.
        resume: Take up what an earlier attempt left behind.
        keep: Leave the part of a file behind when its transfer fails.
    """

    def __init__(
        self,
        session: Session,
        sandbox: SandboxContext | None,
        *,
        resume: bool,
        keep: bool,
    ) -> None:
        self._session = session
        self._sandbox = sandbox
        self._resume = resume
        self._keep = keep

    async def run(self, item: FileTransfer, tally: FileTally) -> None:
        """Copy one file.

        Raises:
            OSError: It cannot be written; or, as ``FileError``, the executor refused.
            FileHandleLostError: It changed with every connection that was lost.
        """
        if self._resume and await asyncio.to_thread(_is_complete, item):
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
        await asyncio.to_thread(_write_whole, item, data)
        tally.move(len(data), len(data))

    async def _copy(self, item: FileTransfer, tally: FileTally) -> None:
        reader = await BlockReader.opened(self._session, item.remote, self._sandbox)
        ahead = ReadAhead(reader)
        try:
            target = _Target(item.local, reader.size, reader.modified_ms)
            try:
                await asyncio.to_thread(target.open, resume=self._resume)
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

    async def _fetch(self, ahead: ReadAhead, target: _Target, tally: FileTally) -> None:
        await ahead.stop(target.offset)
        tally.start(target.offset)
        end = False
        while not end:
            data, end = await ahead.next()
            # Counted first: nothing is written beyond the limit.
            tally.move(target.offset + len(data), len(data))
            await asyncio.to_thread(target.write, data)


class _Target:
    """A file here that is being written. All methods block.

    A task that is cancelled does not stop the thread in which it called one of them, so the
    next one may begin meanwhile; it waits.

    Attributes:
        offset: Where the next byte goes.
    """

    def __init__(self, path: str, size: int, modified_ms: int) -> None:
        self._path = path
        self._size = size
        self._modified_ms = modified_ms
        self._part: str | None = None
        self._fd = -1
        self._abandoned = False
        self._lock = threading.Lock()
        self.offset = 0

    def open(self, *, resume: bool) -> None:
        """Open it, or its part where there is to be one."""
        with self._lock:
            self._check_wanted()
            self._path = os.path.realpath(self._path)  # a link stays, its target is replaced
            if os.path.exists(self._path) and not os.path.isfile(self._path):
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)  # a device, or a FIFO
                return
            folder, name = os.path.split(self._path)
            part = os.path.join(folder, part_name(name, self._size, self._modified_ms))
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(part, flags, 0o666)
            self._part = part
            if resume:
                there = os.fstat(self._fd).st_size
                self.offset = min(there, self._size) // BLOCK_BYTES * BLOCK_BYTES
            os.ftruncate(self._fd, self.offset)

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED), self._path)

    def write(self, data: bytes) -> None:
        """Write at the offset."""
        with self._lock:
            self._check_wanted()
            view = memoryview(data)
            if self._part is not None:
                os.lseek(self._fd, self.offset, os.SEEK_SET)
            while view:
                written = os.write(self._fd, view)
                view = view[written:]
                self.offset += written

    def finish(self) -> None:
        """Give the file its name, its mode if it had one, and the time of its source."""
        with self._lock:
            self._check_wanted()
            if self._part is not None:
                if self._modified_ms:
                    when = self._modified_ms * 1_000_000
                    os.utime(self._fd, ns=(when, when))
                with suppress(FileNotFoundError):
                    shutil.copymode(self._path, self._part)
                os.replace(self._part, self._path)
                self._part = None
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def abandon(self, *, keep: bool) -> None:
        """Close it, and remove what there is of it unless it is to be kept."""
        with self._lock:
            self._abandoned = True
            with suppress(OSError):
                self._close()
            if self._part is not None and not keep:
                with suppress(OSError):
                    os.unlink(self._part)


def _write_whole(item: FileTransfer, data: bytes) -> None:
    target = _Target(item.local, item.size, item.modified_ms)
    try:
        target.open(resume=False)
        target.write(data)
        target.finish()
    except BaseException:
        target.abandon(keep=False)
        raise


def _is_complete(item: FileTransfer) -> bool:
    """Whether the target has the size and the time of its source."""
    try:
        status = os.stat(item.local)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size == item.size
        and status.st_mtime_ns // 1_000_000 == item.modified_ms
    )
