"""Reading from sockets into one piece of memory.

The event loop would otherwise allocate 256 KiB for each read. Memory of that size comes from
the system and goes back to it every time, which takes as long as handling a short request.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["SocketReader"]

_BUFFER: Final = memoryview(bytearray(256 * 1024))
"""One for all sockets of a thread's loop: what is in it is taken before anything else comes."""


class SocketReader(asyncio.BufferedProtocol):
    """A protocol that gets what came as bytes, in ``data_received``."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle what came."""
        raise NotImplementedError
