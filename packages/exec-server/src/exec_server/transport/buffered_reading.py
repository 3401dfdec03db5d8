"""Reading from sockets into memory that is kept; see ``runtime.scratch``."""

from __future__ import annotations

import asyncio

from ..runtime.scratch import scratch

__all__ = ["SocketReader"]


class SocketReader(asyncio.BufferedProtocol):
    """A protocol that gets what came as bytes, in ``data_received``."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes."""
        return scratch()[: self.read_bytes()]

    def read_bytes(self) -> int:
        """Return how many bytes the next read may bring, at least one; there may be less room."""
        raise NotImplementedError

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self.data_received(bytes(scratch()[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle what came."""
        raise NotImplementedError
