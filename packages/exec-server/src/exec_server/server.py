"""Listening, accepting and stopping."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .config import ListenAddress, ServerConfig
from .connection.websocket import Endpoint
from .errors import ListenError, SpawnError
from .session.registry import SessionRegistry
from .telemetry.instruments import Gauges
from .telemetry.names import CONNECTIONS, CONNECTIONS_ACTIVE

if TYPE_CHECKING:
    from .connection.connection import Connection
    from .service import Service

__all__ = ["Server", "serve"]

logger = logging.getLogger(__name__)

_GOING_AWAY = 1001
"""RFC 6455: the server is shutting down."""
_BACKLOG = 1024
"""Connections that the kernel holds until they are accepted; it caps the number itself."""


class Server:
    """A running server. Made by ``serve``.

    Attributes:
        address: What it listens on, with the port that the system chose.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._registry = SessionRegistry(config)
        self._service: Service | None = None
        self._endpoints: set[Endpoint] = set()
        self._accepted: set[Endpoint] = set()
        self._listener: asyncio.Server | None = None
        self._gone = asyncio.Event()
        self.address: ListenAddress = config.address

    @property
    def url(self) -> str:
        """Where clients connect to, ``ws://IP:PORT``."""
        return self.address.url

    async def listen(self) -> None:
        """Bind the address and accept connections.

        Raises:
            ListenError: The address cannot be bound.
        """
        wanted = self._config.address
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                self._make_endpoint, wanted.host, wanted.port, backlog=_BACKLOG
            )
        except OSError as error:
            reason = SpawnError.from_os_error(error)
            raise ListenError(f"cannot listen on {wanted.url}: {reason}") from error
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = ListenAddress(host, port)
        self._config.instruments.watch(self._gauges)
        logger.info("listening on %s", self.url)

    def _make_endpoint(self) -> Endpoint:
        return Endpoint(
            self._config.limits,
            self._config.ping_interval,
            self._accept,
            self._endpoint_made,
            self._endpoint_lost,
        )

    def _accept(self, endpoint: Endpoint) -> Connection:
        self._accepted.add(endpoint)
        self._config.instruments.count(CONNECTIONS, "websocket")
        return self.prepare().connect(endpoint)

    def prepare(self) -> Service:
        """Load what connections need, unless that is done; takes a tenth of a second.

        The models take half of the time and memory that a server needs to start. They are
        loaded for the first client, so that a server which waits for work stays small.
        """
        if self._service is None:
            from .service import Service

            self._service = Service(self._config, self._registry)
        return self._service

    def _endpoint_made(self, endpoint: Endpoint) -> str | None:
        full = len(self._endpoints) >= self._config.limits.connections
        self._endpoints.add(endpoint)
        return "the server has as many connections as it may have\n" if full else None

    def _endpoint_lost(self, endpoint: Endpoint) -> None:
        self._endpoints.discard(endpoint)
        self._accepted.discard(endpoint)
        if not self._endpoints:
            self._gone.set()

    def _gauges(self) -> Gauges:
        return {
            CONNECTIONS_ACTIVE: {("websocket",): len(self._accepted)},
            **self._registry.gauges(),
        }

    async def close(self) -> None:
        """Stop: close the listener and every connection, then end every process.

        Processes are killed at once, or after the configured drain time. Returns when no
        child is left. Cancel-safe in that a second call finishes what the first began.
        """
        if self._listener is not None:
            self._listener.close()
        for endpoint in list(self._endpoints):
            endpoint.close(_GOING_AWAY, "server is shutting down")
        await self._registry.close(drain=self._config.drain)
        self._gone.clear()
        for endpoint in list(self._endpoints):
            endpoint.abort()
        if self._endpoints:
            await self._gone.wait()


@asynccontextmanager
async def serve(config: ServerConfig | None = None) -> AsyncIterator[Server]:
    """Run a server as long as the block lasts.

    Args:
        config: How it runs; ``None`` for a free port on the loopback address.

    Raises:
        ListenError: The address cannot be bound.
    """
    server = Server(config or ServerConfig())
    await server.listen()
    try:
        yield server
    finally:
        await server.close()
