"""Files that a worker has opened, read here as long as that cannot block.

The way to a worker and back takes longer than copying a block out of the page cache. So a worker
hands on what it opens for reading, and blocks are read with ``RWF_NOWAIT``: the system returns
what is in memory, and never waits for a disk or for another machine. Everything else is up to
the worker, which has the same file: what is not in memory, file systems that do not know this
flag, errors.

What comes from a worker is not trusted: a descriptor may be of anything. Nothing is done with it
but this one call.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from exec_server_protocol.helper import DATA_BYTES

from ..runtime.scratch import scratch
from ..runtime.shortcuts import uses
from .result_text import check_of

__all__ = ["HeldFile", "HeldFiles", "receive_with_file"]

_NO_WAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
_CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_ONE_DESCRIPTOR: Final = socket.CMSG_SPACE(4)


class HeldFiles:
    """The files that a server holds open, all sessions together.

    Args:
        limit: Further ones are left to their workers.
    """

    def __init__(self, limit: int) -> None:
        possible = _NO_WAIT is not None and _CLOSE_ON_EXEC
        self._limit = limit if possible and uses("blocks") else 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def has_room(self) -> bool:
        """Whether one more may be held."""
        return self._count < self._limit

    def hold(self, descriptor: int) -> HeldFile | None:
        """Hold a file, or close it if there is no room. The descriptor is not the caller's now."""
        if not self.has_room:
            os.close(descriptor)
            return None
        self._count += 1
        return HeldFile(self, descriptor)

    def closed(self) -> None:
        """Count one out."""
        self._count -= 1


class HeldFile:
    """A file that is open for reading. To be closed."""

    __slots__ = ("_descriptor", "_files")

    def __init__(self, files: HeldFiles, descriptor: int) -> None:
        self._files = files
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> list[bytes] | None:
        """Return the result of ``fs/readBlock``, in parts. Never blocks.

        Returns:
            ``None`` when the worker has to be asked.
        """
        encoder = check_of("fs/readBlock", length)
        parts: list[bytes] = []
        while True:
            piece = scratch()[: min(length, DATA_BYTES)]
            count = self._fill(piece, offset)
            if count is None:
                return None
            offset, length = offset + count, length - count
            last = not length or count < len(piece)
            parts.append(encoder.encode(piece[:count], last=last))
            if last:
                return parts

    def _fill(self, piece: memoryview, offset: int) -> int | None:
        """Read until the piece is full or the file ends."""
        assert _NO_WAIT is not None  # noqa: S101 - nothing is held without it
        count = 0
        try:
            while count < len(piece):
                got = os.preadv(self._descriptor, [piece[count:]], offset + count, _NO_WAIT)
                if not got:
                    break
                count += got
        except (OSError, OverflowError):
            return None
        return count

    def close(self) -> None:
        """Close it. Repeating it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._files.closed()


def receive_with_file(sock: socket.socket, buffer: memoryview) -> tuple[int, int | None]:
    """Receive from a worker, and the open file that comes along, if one does.

    Returns:
        How many bytes, and the descriptor, which the caller closes.

    Raises:
        OSError: As the system says.
    """
    count, ancillary, _, _ = sock.recvmsg_into([buffer], _ONE_DESCRIPTOR, _CLOSE_ON_EXEC)
    found: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            size = len(data) // 4
            found += struct.unpack(f"{size}i", data[: 4 * size])
    for descriptor in found[1:]:  # where there is room for one there may be room for two
        os.close(descriptor)
    return count, found[0] if found else None
