"""Open files of ``exec_client.fsspec``, and the imports from fsspec that it needs."""

from __future__ import annotations

import asyncio
import logging
import posixpath
import uuid
from typing import TYPE_CHECKING, Any

try:
    from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped]
    from fsspec.callbacks import DEFAULT_CALLBACK  # type: ignore[import-untyped]
    from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "exec_client.fsspec needs fsspec: pip install 'exec-client[fsspec]'", name="fsspec"
    ) from error

try:
    from fsspec.asyn import sync_teardown
except ImportError:  # of releases before 2026.9
    sync_teardown = sync

from ..errors import ExecError
from ..filesystem.handles import BLOCK_BYTES

if TYPE_CHECKING:
    from ..filesystem import BinaryReader, BinaryWriter
    from ..fsspec import ExecFileSystem

__all__ = ["DEFAULT_CALLBACK", "AsyncFileSystem", "ExecFile", "sync", "sync_teardown"]


logger = logging.getLogger(__name__)


class ExecFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is not typed
    """A file that is read with fsspec's caches, or written in blocks."""

    fs: ExecFileSystem
    closed: bool  # a property of the base class

    def __init__(self, fs: ExecFileSystem, path: str, mode: str, **options: Any) -> None:
        self.fs = fs
        self._exclusive = mode == "xb"
        self._reader: BinaryReader | None = None
        self._writer: BinaryWriter | None = None
        self._target = path
        # Opened before the base class knows of it: it would close what never was.
        if mode != "rb":
            if not options.get("autocommit", True):
                if mode == "ab":
                    raise NotImplementedError("a transaction replaces files, and appends to none")
                folder, name = posixpath.split(path)
                part = f".{name[:100]}.{uuid.uuid4().hex[:12]}.part"
                self._target = posixpath.join(folder, part)
            self._writer = sync(fs.loop, self._create, fs, mode)
            options["block_size"] = BLOCK_BYTES
        else:
            reader = sync(fs.loop, fs.open_async, path, "rb")
            self._reader = reader
            options.setdefault("size", reader.size)
        try:
            # The executor was told "xb" above. The base class of old releases refuses it, and has
            # nothing to do differently for it than for "wb".
            super().__init__(fs, path, "wb" if self._exclusive else mode, **options)
        except BaseException:
            self.closed = True  # nothing is buffered that ``__del__`` might write
            self._give_up()
            raise
        if self._writer is not None:
            self.loc = self._writer.tell()

    async def _create(self, fs: ExecFileSystem, mode: Any) -> BinaryWriter:
        async def create() -> Any:
            return await fs.open_async(self._target, mode)

        return await fs.making_folders(self._target, create)

    def _fetch_range(self, start: int, end: int) -> bytes:
        if self._reader is None:
            raise ValueError("the file is not open for reading")
        data: bytes = sync(self.fs.loop, self._reader.pread, start, end - start)
        return data

    def _upload_chunk(self, final: bool = False) -> bool:
        if self._writer is None:
            raise ValueError("the file is not open for writing")
        sync(self.fs.loop, self._writer.write, self.buffer.getvalue())
        if final:
            sync(self.fs.loop, self._writer.close)
        return True

    def commit(self) -> None:
        """Give the file its name, at the end of a transaction."""
        if self._target != self.path:
            files = self.fs.files
            overwrite = not self._exclusive
            sync(self.fs.loop, files.move, self._target, self.path, overwrite=overwrite)

    def discard(self) -> None:
        """Throw the file away, when a transaction fails."""
        if self._target != self.path:
            sync(self.fs.loop, self.fs.files.remove, self._target, missing_ok=True)

    def close(self) -> None:
        """Write what is left, and close the file whatever happens."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Close what is still open, as after a failure."""
        for file in (self._reader, self._writer):
            if file is not None and not file.closed and self.fs.loop.is_running():
                sync(self.fs.loop, file.__aexit__, OSError, OSError(), None)

    def __del__(self) -> None:
        """Close the file, though nobody did.

        The garbage collector comes by in any thread, and waiting in that of an event loop would
        stop the loop: in fsspec's own for good. There, the end is left to fsspec's loop.
        """
        if self.closed:
            return
        if self._writer is not None and not _is_in_a_loop():
            self.close()  # as files do: what comes next sees what was written
            return
        self.closed = True
        file = self._reader or self._writer
        if file is not None and not file.closed and self.fs.loop.is_running():
            rest = b"" if self._writer is None else self.buffer.getvalue()
            self.fs.end_later(_end(file, rest))


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _end(file: BinaryReader | BinaryWriter, rest: bytes) -> None:
    # Has nothing of the dropped file itself, which would come back to life.
    try:
        if rest:
            await file.write(rest)  # type: ignore[union-attr]  # only a writer has a rest
        await file.close()
    except (OSError, ExecError) as error:
        logger.warning("a file that nobody closed was not written: %s", type(error).__name__)
