"""TLS between a socket and what is sent over it, without waiting.

``ssl.SSLObject`` works on memory, so encryption is one more step in the callbacks that the
event loop makes anyway: the connection is counted from its first byte, one timer covers the
handshake, and what is buffered is where the transport counts it. asyncio's own TLS has a
second buffer of its own, shows a connection only after its handshake, and drops the alert
that tells a client what was wrong with its certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final, cast

__all__ = ["TlsFailedError", "TlsTransport"]

_RECORD_BYTES: Final = 16 * 1024
"""Plaintext of a TLS record at most, which is what one read returns."""

_WRITE_BYTES: Final = 256 * 1024
"""Encrypted at once: the memory in between does not grow with the message."""

_PLAIN_HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 30\r\n\r\nthis port speaks TLS: use wss\n"
)


class TlsFailedError(Exception):
    """The peer broke the rules of TLS, or has no certificate that counts.

    Attributes:
        reason: What the library calls it; nothing that the peer sent.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TlsTransport(asyncio.Transport):
    """The server's side of TLS over another transport. Takes its place for writing.

    Args:
        transport: Carries the encrypted bytes.
        context: Certificates and rules.
    """

    def __init__(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        super().__init__()
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._begun = False
        self._broken = False
        self._said_goodbye = False
        self.at_eof = False

    @property
    def unfinished(self) -> bool:
        """Whether there is a handshake that has neither failed nor succeeded."""
        return self._begun and not self._established and not self._broken

    # ------------------------------------------------------------------ in

    def decrypt(self, data: bytes) -> bytes:
        """Take what came from the socket; returns what it means, often nothing.

        Sets ``at_eof`` when the peer has said that nothing more comes.

        Raises:
            TlsFailedError: The connection cannot be used. An alert told the peer why, as far as
                TLS has a word for it.
        """
        if self._broken:
            return b""  # what it had sent before it learned
        self._begun = True
        self._incoming.write(data)
        pieces: list[bytes] = []
        try:
            if not self._established:
                self._tls.do_handshake()
                self._established = True
            while piece := self._tls.read(_RECORD_BYTES):
                pieces.append(piece)
            self.at_eof = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.at_eof = True
        except ssl.SSLError as error:
            self._broken = True
            reason = error.reason or "PROTOCOL_ERROR"
            self._send_outgoing()
            if reason == "HTTP_REQUEST":
                self._transport.write(_PLAIN_HTTP_ANSWER)
            raise TlsFailedError(reason.lower().replace("_", " ")) from error
        self._send_outgoing()
        return b"".join(pieces)

    # ------------------------------------------------------------------ out

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._said_goodbye or self._broken or not self._established or self.is_closing():
            return
        view = memoryview(data)
        for start in range(0, len(view), _WRITE_BYTES):
            # Writing to memory takes everything, except in a handshake, and that is over.
            self._tls.write(view[start : start + _WRITE_BYTES])
            self._send_outgoing()

    def _send_outgoing(self) -> None:
        data = self._outgoing.read()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """Say that nothing more comes, in TLS and in TCP."""
        self._say_goodbye()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Whether ``write_eof`` works: it does, as in TCP."""
        return True

    def close(self) -> None:
        """Send what is left and close the socket."""
        self._say_goodbye()
        self._transport.close()

    def _say_goodbye(self) -> None:
        if self._said_goodbye or self._broken or not self._established or self.is_closing():
            return
        self._said_goodbye = True
        with suppress(ssl.SSLError):  # the peer has not said goodbye yet, and need not
            self._tls.unwrap()
        self._send_outgoing()

    def abort(self) -> None:
        """Drop the socket."""
        self._transport.abort()

    # ------------------------------------------------------------------ passed on

    def is_closing(self) -> bool:
        """Whether the socket is closed, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take nothing from the socket."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the socket again."""
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how much may be unsent before the protocol is paused."""
        self._transport.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Return how much is unsent: nothing is kept here."""
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the connection."""
        if name == "ssl_object":
            return self._tls
        return cast("Any", self._transport.get_extra_info(name, default))
