"""What a server does for its connections: loaded when the first one arrives."""

from __future__ import annotations

import os

from .access.authorization import Owner
from .config import ServerConfig
from .connection.connection import Connection, Peer
from .connection.dispatch import make_handlers
from .filesystem.workers import FileWorkers
from .handlers.environment import EnvironmentDescription
from .handlers.files import FileMethods
from .http.requests import HttpRequests
from .session.registry import SessionRegistry

__all__ = ["Service"]


class Service:
    """Handlers and sessions, shared by all connections of a server."""

    def __init__(self, config: ServerConfig, registry: SessionRegistry) -> None:
        self._config = config
        self._registry = registry
        self._files = FileWorkers(config, os.environ)
        self._http = HttpRequests(os.environ, config.limits, config.instruments)
        self._handlers = make_handlers(
            EnvironmentDescription(os.environ), FileMethods(self._files), self._http
        )

    def connect(self, peer: Peer, owner: Owner) -> Connection:
        """Return what takes the messages of a new connection.

        Args:
            peer: The connection.
            owner: Whose it is.
        """
        return Connection(
            peer,
            owner,
            self._registry,
            self._handlers,
            self._config.limits,
            self._config.instruments,
        )

    async def aclose(self) -> None:
        """End what belongs to no session. Connections are closed before."""
        await self._http.aclose()
        await self._files.close()
