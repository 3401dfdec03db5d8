"""Listening, accepting and stopping."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from .access.authorization import Owner
from .access.gate import Gate, load_credentials
from .config import ListenAddress, ServerConfig
from .errors import ConfigError, ListenError, SpawnError
from .runtime.open_files import open_files_limit
from .sandbox import journal, secret_files
from .telemetry.instruments import Gauges
from .telemetry.names import (
    CONNECTIONS,
    CONNECTIONS_ACTIVE,
    PROCESSES_ACTIVE,
    RETAINED_OUTPUT,
    SESSIONS_ACTIVE,
    SPOOLED_OUTPUT,
    TREE_MEANS,
    TREE_MEANS_VALUES,
)
from .transport.admission import Admission
from .transport.doorkeeper import Doorkeeper
from .transport.inbound_budget import InboundBudget
from .transport.message_sink import MessageSink
from .transport.waiting_room import WaitingRoom
from .transport.websocket import Endpoint

if TYPE_CHECKING:
    from .rpc.connection import Connection
    from .service import Service

__all__ = ["Server", "serve"]

logger = logging.getLogger(__name__)

_GOING_AWAY = 1001
"""RFC 6455: the server is shutting down."""
_BACKLOG = 1024
"""Connections that the kernel holds until they are accepted; it caps the number itself."""

_ACCEPT_AT_ONCE = 64
"""Connections that are accepted before anything else is done: far fewer than strangers have
places, so that in a crowd who has sent its token is read before it loses its place."""


_NO_SESSIONS: Final[Gauges] = {
    SESSIONS_ACTIVE: {("attached",): 0, ("detached",): 0},
    PROCESSES_ACTIVE: {(): 0},
    RETAINED_OUTPUT: {(): 0},
    SPOOLED_OUTPUT: {(): 0},
}
"""What the metrics say before the first client: until then nothing of sessions is loaded."""


class Server:
    """A running server. Made by ``serve``.

    Attributes:
        address: What it listens on, with the port that the system chose.
        means: What ends its processes when it is killed: ``group``, a control group; ``supervisor``
            alone; or ``none``. Set before the first connection.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._service: Service | None = None
        self._gate = Gate(config.access)
        # Strangers never get so many descriptors that there are none for clients.
        strangers = min(config.limits.uninitialized_connections, max(open_files_limit() // 4, 1))
        self._admission: Admission[Endpoint, MessageSink] = Admission(
            config.limits, self._gate, self._accept, WaitingRoom(strangers)
        )
        self._doorkeeper = Doorkeeper(self._make_endpoint, self._admission.turned_away)
        self._budget = InboundBudget(config.limits.inbound_bytes)
        self._listener: asyncio.Server | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._reload_wanted = False
        self._listening_since = 0.0
        self.address: ListenAddress = config.address
        self.means = "none"

    @property
    def url(self) -> str:
        """Address for clients, ``ws://IP:PORT`` or ``wss://IP:PORT``."""
        return self.address.url_with(self._config.scheme)

    async def listen(self) -> None:
        """Read the secrets, bind the address and accept connections.

        Raises:
            ConfigError: A file of the access settings cannot be used.
            ListenError: The address cannot be bound.
        """
        access = self._config.access
        if files := journal.leftovers():
            journal.sweep(files)
        secret_files.keep(secret=access.secret_files, trusted=access.trusted_files)
        if access.uses_files:
            self._gate.use(await asyncio.to_thread(load_credentials, access))
        elif access.authenticates:
            self._gate.use(load_credentials(access))
        wanted = self._config.address
        loop = asyncio.get_running_loop()
        try:
            family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
            sock = socket.create_server((wanted.host, wanted.port), family=family)
            self._listener = await loop.create_server(
                self._doorkeeper.protocol, sock=sock, backlog=_ACCEPT_AT_ONCE
            )
            sock.listen(_BACKLOG)  # asyncio takes the one number for both
        except OSError as error:
            reason = SpawnError.from_os_error(error)
            raise ListenError(f"cannot listen on {wanted.url}: {reason}") from error
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = ListenAddress(host, port)
        self._listening_since = time.monotonic()
        self._config.instruments.watch(self._gauges)
        logger.info("listening on %s", self.url)
        if access.auth is not None and not access.uses_tls and not self.address.is_loopback:
            logger.warning(
                "tokens and everything else cross the network in the clear: see --tls-cert, or "
                "put a proxy in front that speaks TLS"
            )

    def reload(self) -> None:
        """Read the files of the access settings again, in the background.

        If that fails, what was loaded before stays in force, and the log says why. Connections
        that are open stay open, whatever let them in.
        """
        self._reload_wanted = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while self._reload_wanted:  # once more when they may have changed while they were read
            self._reload_wanted = False
            try:
                self._gate.use(await asyncio.to_thread(load_credentials, self._config.access))
            except ConfigError as error:
                logger.error("not reloaded, what was loaded before stays in force: %s", error)
            else:
                logger.info("the files about access were read again")

    def _make_endpoint(self) -> Endpoint:
        return Endpoint(
            self._config.limits,
            self._config.ping_interval,
            self._config.peer_timeout,
            self._admission,
            self._budget,
            self._gate.tls,
        )

    def _accept(self, endpoint: Endpoint, owner: Owner) -> Connection:
        self._config.instruments.count(CONNECTIONS, "websocket")
        return self.prepare().connect(endpoint, owner)

    def prepare(self) -> Service:
        """Load what connections need, unless that is done; takes 30 ms.

        What a family of methods needs beyond that is loaded with its first request.
        """
        if self._service is None:
            from .service import Service

            self._service = Service(self._config, self._listening_since, self.means)
        return self._service

    def _gauges(self) -> Gauges:
        return {
            CONNECTIONS_ACTIVE: {("websocket",): self._admission.upgraded_connections},
            TREE_MEANS: {(means,): int(means == self.means) for means in TREE_MEANS_VALUES},
            **(_NO_SESSIONS if self._service is None else self._service.gauges()),
        }

    async def close(self) -> None:
        """Stop: close the listener and every connection, then end every process.

        Processes are killed at once, or after the configured drain time. Returns when no
        child is left. Cancel-safe in that a second call finishes what the first began.
        """
        if self._listener is not None:
            self._listener.close()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])
        await self._doorkeeper.close()
        for endpoint in self._admission.connections:
            endpoint.close(_GOING_AWAY, "server is shutting down")
        if self._service is not None:
            await self._service.aclose()
        for endpoint in self._admission.connections:
            endpoint.abort()
        await self._admission.wait_empty()


@asynccontextmanager
async def serve(config: ServerConfig | None = None) -> AsyncIterator[Server]:
    """Run a server as long as the block lasts.

    Args:
        config: How it runs; ``None`` for a free port on the loopback address.

    Raises:
        ConfigError: A file of the access settings cannot be used.
        ListenError: The address cannot be bound.
    """
    server = Server(config or ServerConfig())
    await server.listen()
    try:
        yield server
    finally:
        await server.close()
