"""Output on disk: what a detached session's processes wrote beyond what memory keeps.

One process has a few *segments*, files without a name that nobody else can open and that
vanish with the server however it ends. A segment is append-only; the oldest is dropped
whole. All disk access happens in one thread of the server; the event loop only hands over.

Records are ``seq:u64 stream:u8 size:u32 written:u64 errors:u64`` and the payload. An index
entry for every 64 KiB is kept in memory, so that a million tiny chunks cost no more than a few
large ones.
"""

from __future__ import annotations

import logging
import os
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from .finished import FinishedOutput
from .retained import Chunk

__all__ = ["RECORD_OVERHEAD_BYTES", "SEGMENT_BYTES", "DiskBudget", "Segment", "Spool"]

logger = logging.getLogger(__name__)

_HEADER: Final = struct.Struct(">QBIQQ")
RECORD_OVERHEAD_BYTES: Final = _HEADER.size
_STREAMS: Final = (b"stdout", b"stderr", b"pty")
_INDEX_EVERY_BYTES: Final = 64 * 1024
SEGMENT_BYTES: Final = 8 * 1024 * 1024
"""Small enough that dropping one loses little of the budget, large enough for few descriptors."""


class DiskBudget:
    """Budget of bytes on disk: of a process, within its session's, within the server's.

    Args:
        max_bytes: How many; 0 for none.
        within: The larger budget that they count in as well.
    """

    def __init__(self, max_bytes: int, within: DiskBudget | None = None) -> None:
        self._max_bytes = max_bytes
        self._within = within
        self.used = 0

    @property
    def enabled(self) -> bool:
        """Whether there is any disk space to use."""
        return self._max_bytes > 0 and (self._within is None or self._within.enabled)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes more fit into this budget and those around it."""
        fits = self.used + size <= self._max_bytes
        return fits and (self._within is None or self._within.has_room(size))

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes. Returns whether they fit."""
        if not self.has_room(size):
            return False
        self._add(size)
        return True

    def give_back(self, size: int) -> None:
        """Return reserved bytes."""
        self._add(-size)

    def _add(self, size: int) -> None:
        self.used += size
        if self._within is not None:
            self._within._add(size)


class Spool:
    """The disk space that a server's processes share.

    Args:
        max_bytes: Budget of all segments together; 0 turns spooling off.
        directory: Where the files are; ``None`` for the system's temporary directory.

    Attributes:
        budget: Of the server.
        finished: Output of finished processes that is still in memory.
    """

    def __init__(self, max_bytes: int, directory: str | None = None) -> None:
        self.budget = DiskBudget(max_bytes)
        self.finished = FinishedOutput()
        self._directory = directory
        self._warned = False
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="exec-server-spool")

    def create(self) -> int:
        """Return the descriptor of a new nameless file, accessible to this user only.

        Raises:
            OSError: No space, no descriptor, no such directory.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_EXCL
        # It looks for one by writing, so that a full disk must fail a segment and nothing else.
        directory = self._directory or tempfile.gettempdir()
        if hasattr(os, "O_TMPFILE"):
            try:
                return os.open(directory, flags | os.O_TMPFILE, 0o600)
            except OSError:
                pass  # a file system that cannot; a named file that is removed at once can
        descriptor, path = tempfile.mkstemp(prefix="exec-server-", dir=directory)
        os.unlink(path)
        return descriptor

    def failed(self, error: OSError) -> None:
        """Say once that the disk takes no more output."""
        if not self._warned:
            self._warned = True
            logger.warning(
                "no more output of detached sessions fits on disk: %s",
                os.strerror(error.errno or 0),
            )

    def discard(self, segment: Segment) -> None:
        """Close a segment, behind whatever still reads it."""
        try:
            self.executor.submit(segment.close)
        except RuntimeError:  # the thread is stopping: nobody reads any more
            segment.close()

    def close(self) -> None:
        """Stop the thread when it has done what it was given."""
        self.executor.shutdown(wait=False)


class Segment:
    """One file of one process. Methods that touch the file run in the spool's thread.

    Attributes:
        first_seq: Sequence number of the first record.
        last_seq: Of the last one.
        payload: Bytes of output, without the headers.
        count: Records.
        size: Bytes of the file.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._descriptor = spool.create()
        self._index: list[tuple[int, int]] = []
        self.first_seq = 0
        self.last_seq = 0
        self.payload = 0
        self.count = 0
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether the next chunk belongs into another segment."""
        return self.size >= SEGMENT_BYTES

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Append chunks, whose numbers are greater than any before.

        Raises:
            OSError: The disk is full. What was written stays readable.
        """
        parts: list[bytes] = []
        start = offset = self.size
        payload = self.payload
        index: list[tuple[int, int]] = []
        last = self.last_seq
        for chunk in chunks:
            if not self.first_seq:
                self.first_seq = chunk.seq
            known = index or self._index
            if not known or offset - known[-1][1] >= _INDEX_EVERY_BYTES:
                index.append((chunk.seq, offset))
            stream = _STREAMS.index(chunk.stream)
            header = _HEADER.pack(chunk.seq, stream, len(chunk.data), chunk.written, chunk.errors)
            parts += (header, chunk.data)
            offset += len(header) + len(chunk.data)
            payload += len(chunk.data)
            last = chunk.seq
        data = memoryview(b"".join(parts))
        while data:
            data = data[os.pwrite(self._descriptor, data, start) :]
            start = offset - len(data)
        self._index += index
        self.count += len(parts) // 2
        self.size, self.payload, self.last_seq = offset, payload, last

    def read(self, after_seq: int) -> Iterator[Chunk]:
        """Yield chunks newer than ``after_seq``, oldest first."""
        at = max(bisect_right(self._index, after_seq, key=lambda entry: entry[0]) - 1, 0)
        if at >= len(self._index):
            return
        offset = self._index[at][1]
        buffer = b""
        while offset < self.size:
            buffer = os.pread(self._descriptor, min(4 * 1024 * 1024, self.size - offset), offset)
            position = 0
            while position + _HEADER.size <= len(buffer):
                seq, stream, size, *before = _HEADER.unpack_from(buffer, position)
                start = position + _HEADER.size
                end = start + size
                if end > len(buffer):
                    break
                if seq > after_seq:
                    yield Chunk(seq, _STREAMS[stream], buffer[start:end], *before)
                position = end
            if position == 0:
                return  # the file was cut short by somebody; the reader sees a gap
            offset += position

    def close(self) -> None:
        """Give the space back."""
        os.close(self._descriptor)
