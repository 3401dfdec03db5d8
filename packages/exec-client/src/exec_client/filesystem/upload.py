"""Files from here to an executor."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from exec_server_protocol.filesystem import (
    CAPABILITY_MOVE,
    CAPABILITY_OPEN_UPDATE,
    FsRemoveParams,
)

from ..connection.states import ClientState
from ..errors import ConnectionBrokenError
from .contents import WHOLE_WRITE_BYTES
from .errors import RemotePermissionError
from .handles import BLOCK_BYTES
from .paths import name_of, native, to_uri
from .plan import MAX_FRUITLESS, FileTally, FileTransfer, Plan, part_name
from .reading import BlockReader
from .writing import WRITE_BEHIND_BLOCKS, BlockWriter

if TYPE_CHECKING:
    from exec_server_protocol.path_uri import PathUri
    from exec_server_protocol.sandbox import SandboxContext

    from ..session import Session
    from .filesystem import FileSystem

__all__ = ["Upload", "plan_upload"]


def plan_upload(source: str, target: PathUri) -> Plan:
    """Look at a file or a tree here. Blocks.

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
    seen: set[tuple[int, int]] = set()
    folders = [(source, target)]
    while folders:
        folder, uri = folders.pop()
        try:
            now = os.stat(folder)
            if (now.st_dev, now.st_ino) in seen:
                plan.skipped.append(folder)
                continue
            seen.add((now.st_dev, now.st_ino))
            plan.remote_folders.append(uri)
            for entry, status in _entries(folder, plan):
                below = uri.join(entry.name)
                if stat.S_ISDIR(status.st_mode):
                    folders.append((entry.path, below))
                elif stat.S_ISREG(status.st_mode):
                    plan.files.append(_file(entry.path, below, status))
                else:
                    plan.skipped.append(entry.path)
        except OSError as error:
            plan.errors.append(error)
    return plan


def _entries(folder: str, plan: Plan) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                yield entry, entry.stat()
            except OSError as error:  # a link that leads nowhere
                plan.errors.append(error)


def _file(path: str, target: PathUri, status: os.stat_result) -> FileTransfer:
    return FileTransfer(path, path, target, status.st_size, status.st_mtime_ns // 1_000_000)


class Upload:
    """The way of one file to an executor.

    Args:
        files: The executor's files.
        session: Where they are.
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
        self._can_stage = session.supports(CAPABILITY_OPEN_UPDATE) and session.supports(
            CAPABILITY_MOVE
        )

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
            await self._copy_large(item, tally)

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
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await self._files.write_bytes(item.remote, data, sandbox=self._sandbox)
                return
            except ConnectionBrokenError:
                if attempt == MAX_FRUITLESS:
                    raise

    async def _copy_large(self, item: FileTransfer, tally: FileTally) -> None:
        fd = await asyncio.to_thread(os.open, item.local, os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = await self._target(item)
            if target is None:
                await self._send(fd, item, item.remote, tally, staged=False)
                return
            part = target.parent.join(part_name(name_of(target), item.size, item.modified_ms))
            await self._session.failed_parts.wait_removed(str(part))
            try:
                await self._send(fd, item, part, tally, staged=True)
                await self._put_in_place(part, target)
            except RemotePermissionError:
                # The folder takes no new file; the file itself may well be writable.
                await self._drop(part)
                await self._send(fd, item, item.remote, tally, staged=False)
            except BaseException as error:
                if not self._keep and not await self._drop(part):
                    error.add_note(self._left(part))
                raise
        finally:
            os.close(fd)

    async def _target(self, item: FileTransfer) -> PathUri | None:
        """Return the file that is to be replaced; ``None`` to write to what is there."""
        if not self._can_stage:
            return None
        there = await self._files._look(item.remote, self._sandbox)
        if there is None:
            return item.remote
        if not there.is_file:
            return None
        if there.is_symlink:
            return to_uri(await self._files.realpath(item.remote, sandbox=self._sandbox), None)
        return item.remote

    async def _send(
        self, fd: int, item: FileTransfer, to: PathUri, tally: FileTally, *, staged: bool
    ) -> None:
        """Send the blocks, again from the first unconfirmed one after a lost connection."""
        offset = await self._kept(fd, item, to) if staged and self._resume else 0
        tally.start(offset)
        fruitless = 0
        while True:
            writer: BlockWriter | None = None
            try:
                writer = await BlockWriter.opened(
                    self._session,
                    to,
                    self._sandbox,
                    mode="update" if offset else "replace",
                    offset=offset,
                )
                await _send_blocks(fd, item, writer, tally)
                return
            except ConnectionBrokenError:
                confirmed = writer.confirmed if writer is not None else offset
                fruitless = 0 if confirmed > offset else fruitless + 1
                if fruitless > MAX_FRUITLESS:
                    raise
                offset = confirmed if staged else 0
                tally.move(offset, 0)
            finally:
                if writer is not None:
                    await writer.close()

    async def _kept(self, fd: int, item: FileTransfer, part: PathUri) -> int:
        """Return up to where the part that is there already is good.

        Its last blocks may be in any state, so they are sent again; the one before them has
        to be the same here and there, or everything is sent again.
        """
        there = await self._files._look(part, self._sandbox)
        size = min(there.size, item.size) if there is not None else 0
        offset = max(0, size // BLOCK_BYTES - WRITE_BEHIND_BLOCKS) * BLOCK_BYTES
        if not offset:
            return 0
        reader = await BlockReader.opened(self._session, part, self._sandbox)
        try:
            theirs, _ = await reader.read(offset - BLOCK_BYTES, BLOCK_BYTES)
        finally:
            reader.close()
        ours = await asyncio.to_thread(os.pread, fd, BLOCK_BYTES, offset - BLOCK_BYTES)
        return offset if theirs == ours else 0

    async def _put_in_place(self, part: PathUri, target: PathUri) -> None:
        for attempt in range(MAX_FRUITLESS + 1):
            try:
                await self._files.move(part, target, overwrite=True, sandbox=self._sandbox)
                return
            except ConnectionBrokenError:
                if not await self._files.exists(part, sandbox=self._sandbox):
                    return  # it was moved, and only the answer was lost
                if attempt == MAX_FRUITLESS:
                    raise

    async def _drop(self, part: PathUri) -> bool:
        """Remove a part, once there is a connection. Returns whether it is gone already."""
        params = FsRemoveParams(path=part, recursive=False, force=True, sandbox=self._sandbox)

        async def remove() -> None:
            # Repeating it changes nothing: nobody else has a file of this name.
            await self._files._call(self._session, "fs/remove", params, part, idempotent=True)

        return await self._session.failed_parts.remove(str(part), remove)

    def _left(self, part: PathUri) -> str:
        """Say what becomes of a part that is still there."""
        if self._session.state in (ClientState.FAILED, ClientState.CLOSED):
            return f"an unfinished file is left on the executor: {native(part)}"
        return f"an unfinished file goes once the session is resumed: {native(part)}"


async def _send_blocks(fd: int, item: FileTransfer, writer: BlockWriter, tally: FileTally) -> None:
    while writer.offset < item.size:
        length = min(BLOCK_BYTES, item.size - writer.offset)
        data = await asyncio.to_thread(os.pread, fd, length, writer.offset)
        if not data:
            raise OSError(errno.EIO, "became shorter while it was being copied", item.local)
        before = writer.confirmed
        await writer.write(data)
        tally.move(writer.confirmed, writer.confirmed - before)
    before = writer.confirmed
    await writer.flush()
    tally.move(writer.confirmed, writer.confirmed - before)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
