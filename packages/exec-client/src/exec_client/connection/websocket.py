"""The WebSocket skin: the only module that imports ``websockets``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from ..errors import ConnectError, ConnectTimeoutError, HandshakeRejectedError
from ..options import ClientOptions

__all__ = ["MessageSocket", "NotSentError", "WebSocket", "open_websocket", "redact"]

_CLOSE_SECONDS = 1.0
"""For a polite end; a peer that does not answer by then is left."""

_LARGE_PARAMS_BYTES = 8 * 1024 * 1024
"""Executors refuse frames above 16 MiB: a longer message goes out in several."""


def redact(url: str) -> str:
    """Return a URL without what may be secret: query, fragment, user and password."""
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{head}://{authority.rpartition('@')[2]}{slash}{path}"


class _Connection(ClientConnection):
    """A connection that ends soon after the peer said so, even if its socket stays open."""

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
        """What the peer said when it ended it, empty if it said nothing."""

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

    def __init__(self, connection: ClientConnection) -> None:
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
        """What the peer said when it closed, empty if it said nothing."""
        return self._connection.close_reason or ""

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
        ConnectError: Nobody is there, or the URL is none.
    """
    where = redact(url)
    try:
        async with asyncio.timeout(options.connect_timeout):
            connection = await websockets_connect(
                url,
                create_connection=_Connection,
                compression=None,
                max_size=None,
                max_queue=(16, 4),
                open_timeout=None,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=options.ping_interval,
                ping_timeout=None,
                additional_headers=dict(options.additional_headers),
                user_agent_header=None,
                ssl=options.ssl,
                proxy=options.proxy,
            )
    except TimeoutError as error:
        text = f"no connection to {where} within {options.connect_timeout:g} s"
        raise ConnectTimeoutError(text) from error
    except InvalidStatus as error:
        raise HandshakeRejectedError(
            f"{where} refused the connection with HTTP {error.response.status_code}"
        ) from error
    except OSError as error:  # before ValueError: a bad certificate is both
        raise ConnectError(f"cannot connect to {where}: {error.strerror or error}") from error
    except (InvalidURI, ValueError) as error:
        raise ConnectError(f"not a ws:// or wss:// URL: {where}") from error
    except (InvalidHandshake, EOFError) as error:
        raise HandshakeRejectedError(f"{where} is no WebSocket server") from error
    return WebSocket(connection)
