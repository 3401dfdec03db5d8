"""A connection that listens while it sends: an origin may answer before it has the whole request.

Whoever refuses a large body says so at once, often without reading the rest, and closes. Without
a look at what comes meanwhile, sending would wait for ever, or break and take the answer with it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import httpcore

__all__ = ["ListeningStream", "is_final_answer"]

_SMALL_BYTES: Final = 4096
"""Of a request that is sent at once, and not worth a look: a head without a body."""
_KEPT_BYTES: Final = 64 * 1024
"""Of what comes meanwhile: interim answers are short, and the final one ends the sending."""
_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = len(b"HTTP/1.1 ")


def is_final_answer(received: bytes) -> bool:
    """Return whether an answer has begun that is not interim (1xx). It may not be complete."""
    while received[_STATUS:].startswith(b"1") and received.startswith(b"HTTP/"):
        _, end, received = received.partition(_HEAD_END)
        if not end:
            return False
    return len(received) > _STATUS


class ListeningStream(httpcore.AsyncNetworkStream):
    """A stream of httpcore, over TLS or not, whose ``write`` ends when the peer has answered."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._received = b""
        self._ended = False
        self._cut_off: asyncio.Future[None] | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, first of all while something was written."""
        if self._received:
            data, self._received = self._received[:max_bytes], self._received[max_bytes:]
            return data
        return b"" if self._ended else await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it, unless the peer answers before.

        Raises:
            httpcore.WriteError: It has answered, or the connection broke. Either way httpcore
                goes on with what there is to read.
        """
        if len(buffer) <= _SMALL_BYTES:
            await self._stream.write(buffer, timeout)
            return
        sending = asyncio.ensure_future(self._stream.write(buffer, timeout))
        listening = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait([sending, listening], return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not listening.result():
                await asyncio.wait([sending])
        except asyncio.CancelledError:
            await _end(sending)
            raise
        finally:
            # At any point: what has been read is in ``_received``, or still in the stream below.
            await _end(listening)
        if not sending.done():
            # Ended with the connection and not here: over TLS a send that is cancelled breaks the
            # stream for reading, too, and most of the answer may still have to be read.
            self._cut_off = sending
            raise httpcore.WriteError("answered before the request was complete")
        sending.result()

    async def _listen(self) -> bool:
        """Take what comes; returns whether that is a final answer, and not just an end."""
        try:
            while not is_final_answer(self._received):
                if self._ended or len(self._received) >= _KEPT_BYTES:
                    return False
                data = await self._stream.read(_KEPT_BYTES)
                self._received += data
                self._ended = not data
        except httpcore.ReadError:
            return False  # sending will find out as well
        return True

    async def aclose(self) -> None:
        """End the connection."""
        try:
            if self._cut_off is not None:
                await _end(self._cut_off)
        finally:
            await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return the same connection over TLS."""
        return ListeningStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream below says."""
        return self._stream.get_extra_info(info)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # so that nobody reports that it was not looked at
