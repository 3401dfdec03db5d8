"""A TCP connection of which everything is read that came before it broke.

A send into a connection that the peer has reset fails, and asyncio closes the socket then, with
what has come and was not read: often the answer that tells why. So a second descriptor keeps the
socket open until that has been read, and a send that fails says nothing: what there is to read
does, be it an answer or the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute

__all__ = ["LastWordsStream"]


class LastWordsStream(ByteStream):
    """A stream of anyio over a TCP socket.

    Args:
        stream: What anyio has connected.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket = stream.extra(SocketAttribute.raw_socket).dup()  # noqa: S610 - no Django
        self._socket.setblocking(False)
        self._send_failed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has come next.

        Raises:
            anyio.EndOfStream: The peer has ended the connection.
            anyio.BrokenResourceError: It broke, and nothing is left to be read.
        """
        try:
            return await self._stream.receive(max_bytes)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            try:
                left = self._socket.recv(max_bytes)
            except OSError:
                left = b""
            if not left:
                raise
            return left

    async def send(self, item: bytes) -> None:
        """Send all of it, or nothing any more once the connection has broken."""
        if self._send_failed:
            await anyio.lowlevel.checkpoint()
            return
        try:
            await self._stream.send(item)
        except anyio.BrokenResourceError:
            self._send_failed = True

    async def send_eof(self) -> None:
        """End what is sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """End the connection."""
        self._socket.close()
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Attributes of the stream below."""
        return self._stream.extra_attributes
