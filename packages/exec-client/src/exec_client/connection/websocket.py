"""The WebSocket skin: the only module that imports ``websockets``."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from exec_server_protocol._liveness import Liveness, Verdict
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from ..access import TlsFiles, authorization
from ..errors import (
    AccessDeniedError,
    ConnectError,
    ConnectTimeoutError,
    HandshakeRejectedError,
    TlsError,
)
from ..options import ClientOptions
from ..urls import executor_url
from .tcp import limit_unacknowledged, note_signs

__all__ = ["MessageSocket", "NotSentError", "WebSocket", "connectable", "open_websocket", "redact"]

_CLOSE_SECONDS = 1.0
"""For a polite end; a peer that does not answer by then is left."""

_SAID_BYTES = 200
"""Of what a peer says when it refuses: its first line."""

_LARGE_PARAMS_BYTES = 8 * 1024 * 1024
"""Executors refuse frames above 16 MiB: a longer message goes out in several."""


def redact(url: str) -> str:
    """Return a URL without what may be secret: query, fragment, user and password."""
    head, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{head}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def connectable(url: str) -> str:
    """Return a URL as ``executor_url`` does.

    Raises:
        ConnectError: It names no executor.
    """
    try:
        return executor_url(url)
    except ValueError as error:
        raise ConnectError(f"not a ws:// or wss:// URL: {redact(url)!r}: {error}") from error


_SMALL_BYTES = 4096
"""Up to here what arrives is a message or two, and its sender may hold back the next one."""

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only."""


class _Connect(websockets_connect):
    """Refuses to follow redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow no redirect: a token is meant for one executor."""
        return exc


class _Connection(ClientConnection):
    """A connection that ends soon after the peer said so, even if its socket stays open.

    It acknowledges small messages at once. Executors that leave Nagle's algorithm on would
    otherwise wait 40 ms before every second one.
    """

    received = 0
    """Bytes that have come from the socket."""
    lost_with: Exception | None = None
    """What the socket ended with. With TLS 1.3 that is where the peer says that it wants a
    certificate: our side of the handshake is over by then."""

    reason = ""
    """Why it was given up on this side, if it was."""

    _timeout = 0.0
    _liveness: Liveness | None = None
    _look_handle: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why."""
        self.lost_with = exc
        if self._look_handle is not None:
            self._look_handle.cancel()
        super().connection_lost(exc)
        self.protocol.parser.close()  # it refers to what refers to it, and holds half a message

    def watch(self, timeout: float, interval: float) -> None:
        """Ask the peer for a sign of life when it is silent, and give it up without one.

        Args:
            timeout: Seconds of silence after which it is gone; 0 for never.
            interval: Seconds of silence between pings, at most.
        """
        self._timeout = timeout
        self._liveness = Liveness(timeout, interval, self.loop.time())
        self._look()

    def _look(self) -> None:
        liveness = self._liveness
        if liveness is None or self.state is not State.OPEN or self.transport.is_closing():
            return
        sock, now = self.transport.get_extra_info("socket"), self.loop.time()
        note_signs(liveness, sock, now, read=self.transport.is_reading())
        limit_unacknowledged(sock, self._timeout)
        verdict = liveness.look(now)
        if verdict is Verdict.GONE:
            self.reason = f"nothing came for {self._timeout:g} s"
            self.transport.abort()
            return
        if verdict is Verdict.PING:
            self.protocol.send_ping(b"")
            self.send_data()
        self._look_handle = self.loop.call_at(liveness.due, self._look)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self.received += len(data)
        if self._liveness is not None:
            self._liveness.heard(self.loop.time())
        if _QUICK_ACK is not None and len(data) <= _SMALL_BYTES:
            sock = self.transport.get_extra_info("socket")
            with suppress(OSError, AttributeError):  # no TCP, or no socket any more
                sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        """Take a frame, or the answer to the upgrade."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)


class NotSentError(ConnectionError):
    """The connection is over, and no byte of the message has left."""


class MessageSocket(Protocol):
    """One open connection, as messages: what a generation needs of it."""

    @property
    def reason(self) -> str:
        """Reason that the peer gave when it closed the connection, empty without one."""

    @property
    def received(self) -> int:
        """Bytes that have come, of messages that are not complete as well."""

    async def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            NotSentError: The connection was over before.
            ConnectionError: It ended meanwhile.
        """

    def messages(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection ends, in whatever way."""

    def abort(self) -> None:
        """Drop the connection at once."""

    async def close(self) -> None:
        """End the connection politely, within a second."""


class WebSocket:
    """A ``MessageSocket`` over a WebSocket."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        """Send one text message.

        Raises:
            NotSentError: The connection was over before.
            ConnectionError: It ended meanwhile.
        """
        if self._connection.state is not State.OPEN:
            raise NotSentError("the connection is over")
        try:
            if len(message) > _LARGE_PARAMS_BYTES:
                await self._connection.send(_pieces(message.decode()))
            else:
                await self._connection.send(message, text=True)
        except ConnectionClosed as error:
            raise ConnectionError("the connection is over") from error

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection ends, in whatever way."""
        with suppress(ConnectionClosed):
            while True:
                yield await self._connection.recv(decode=False)

    @property
    def reason(self) -> str:
        """Reason for the end: the peer's, or that it gave none. Empty when it is not known."""
        return self._connection.reason or self._connection.close_reason or ""

    @property
    def received(self) -> int:
        """Bytes that have come, of messages that are not complete as well."""
        return self._connection.received

    def abort(self) -> None:
        """Drop the connection at once."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """End the connection politely, within a second."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._connection.close()
        except TimeoutError:
            self.abort()


async def _pieces(text: str) -> AsyncIterator[str]:
    step = _LARGE_PARAMS_BYTES // 4  # a character takes at most four bytes
    for start in range(0, len(text), step):
        yield text[start : start + step]


async def open_websocket(url: str, options: ClientOptions) -> WebSocket:
    """Connect and upgrade.

    Raises:
        ConnectTimeoutError: It took too long.
        HandshakeRejectedError: The peer answered with something else than an upgrade.
        AccessDeniedError: It did so because of the token.
        TlsError: One side does not accept the other's certificate.
        InsecureTokenError: Others could have read the token on its way.
        ConnectError: Nobody is there, or the URL is none.
    """
    where = redact(url)
    made: list[_Connection] = []

    def make(*arguments: Any, **settings: Any) -> _Connection:
        made.append(_Connection(*arguments, **settings))
        return made[-1]

    try:
        async with asyncio.timeout(options.connect_timeout):
            hosts = _hosts(url, options)
            for host in hosts:
                try:
                    await _connect(url, options, make, host)
                    break
                except OSError as error:
                    if host == hosts[-1] or isinstance(error, ssl.SSLError):
                        raise
    except TimeoutError as error:
        text = f"no connection to {where} within {options.connect_timeout:g} s"
        raise ConnectTimeoutError(text) from error
    except InvalidStatus as error:
        raise _refusal(where, error) from error
    except OSError as error:  # before ValueError: a bad certificate is both
        raise _connect_error(where, error) from error
    except (InvalidURI, ValueError) as error:
        raise ConnectError(f"not a ws:// or wss:// URL: {where}") from error
    except (InvalidHandshake, EOFError) as error:
        cause = made[-1].lost_with if made else None
        if isinstance(cause, ssl.SSLError):
            raise _connect_error(where, cause) from error
        raise HandshakeRejectedError(f"{where} is no WebSocket server") from error
    made[-1].watch(options.ping_timeout, options.ping_interval)
    return WebSocket(made[-1])


async def _connect(
    url: str, options: ClientOptions, make: Callable[..., _Connection], host: str | None
) -> None:
    elsewhere: dict[str, Any] = {} if host is None else {"host": host}
    await _Connect(
        url,
        create_connection=cast("type[ClientConnection]", make),
        **elsewhere,
        compression=None,
        max_size=None,
        max_queue=(16, 4),
        open_timeout=None,
        close_timeout=_CLOSE_SECONDS,
        ping_interval=None,  # we watch ourselves: any byte counts, not pongs only
        additional_headers=await authorization(
            url,
            options.token,
            options.additional_headers,
            allow_insecure=options.allow_insecure_token,
            proxied=options.proxy is not None,
        ),
        user_agent_header=None,
        ssl=await _tls(url, options),
        proxy=options.proxy,
    )


def _hosts(url: str, options: ClientOptions) -> tuple[str | None, ...]:
    """Return where to connect to, one after the other; ``None`` for the host of the URL.

    ``localhost`` is this machine over IPv4 and IPv6, also where a resolver knows one of them or
    none (RFC 6761, section 6.3): the server listens on one only.
    """
    if urlsplit(url).hostname != "localhost" or options.proxy is not None:
        return (None,)
    return (None, "127.0.0.1", "::1")


async def _tls(url: str, options: ClientOptions) -> ssl.SSLContext | None:
    """The TLS context for ``wss://``; ``None`` for ``ws://``."""
    if not url.lower().startswith("wss:"):
        return None
    if isinstance(options.ssl, ssl.SSLContext):
        return options.ssl
    files = options.ssl or TlsFiles()
    return await asyncio.to_thread(files.make_context)


def _refusal(where: str, error: InvalidStatus) -> HandshakeRejectedError:
    status = error.response.status_code
    words = re.sub(rb"[^ -~].*", b"", error.response.body or b"", flags=re.DOTALL)
    said = words[:_SAID_BYTES].decode("ascii").strip()
    text = f"{where} refused the connection with HTTP {status}"
    kind = AccessDeniedError if status in (401, 403) else HandshakeRejectedError
    return kind(f"{text}: {said}" if said else text)


def _connect_error(where: str, error: OSError) -> ConnectError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(f"{where} is not to be trusted: {error.verify_message}")
    lost = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    if isinstance(error, ssl.SSLError) and not isinstance(error, lost):
        return TlsError(f"no TLS with {where}: {_tls_reason(error)}")
    return ConnectError(f"cannot connect to {where}: {_why(error)}")


_NUMBERED: Final = re.compile(r"\[Errno (\d+)\]")
_UNNUMBERED: Final = (
    (ConnectionResetError, errno.ECONNRESET),
    (ConnectionAbortedError, errno.ECONNABORTED),
    (BrokenPipeError, errno.EPIPE),
)
"""asyncio raises these without a number and without a text."""


def _why(error: OSError) -> str:
    """Return a reason, which some errors have elsewhere than others, and some only by kind."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        # With several addresses the error quotes one error for each.
        several = dict.fromkeys(os.strerror(int(n)) for n in _NUMBERED.findall(str(error)))
        if several and not error.strerror:
            return ", ".join(several)
        by_kind = (os.strerror(number) for kind, number in _UNNUMBERED if isinstance(error, kind))
        return error.strerror or str(error) or next(by_kind, type(error).__name__)
    return os.strerror(error.errno)


def _tls_reason(error: ssl.SSLError) -> str:
    """Return what an error of TLS is about, and whether the peer said so."""
    reason = error.reason or "protocol error"
    before, alert, said = reason.partition("ALERT_")
    words = (said if alert else before).lower().replace("_", " ")
    return f"it says `{words}`" if alert else words
