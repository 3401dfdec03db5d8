"""Service of a server for its connections: loaded when the first one arrives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .access.authorization import Owner
from .config import ServerConfig
from .handlers import environment, handshake
from .rpc.connection import Connection, Handler
from .rpc.dispatch import Dispatch
from .runtime.peer import Peer
from .session.registry import SessionRegistry
from .telemetry.instruments import Gauges

if TYPE_CHECKING:
    from .http.requests import HttpRequests
    from .workers.workers import FileWorkers

__all__ = ["Service"]


class Service:
    """Handlers and sessions, shared by all connections of a server.

    Args:
        config: Settings.
        started: ``time.monotonic()`` when the server began to listen.
        means: What ends processes when the server cannot.

    Attributes:
        handlers: By method.
    """

    def __init__(self, config: ServerConfig, started: float, means: str = "none") -> None:
        self._config = config
        self._registry = SessionRegistry(config)
        self._info = environment.EnvironmentDescription(os.environ, means)
        self._files: FileWorkers | None = None
        self._http: HttpRequests | None = None
        self.handlers = Dispatch(
            {
                "initialize": lambda: {"initialize": handshake.Initialize(self._info)},
                "environment": lambda: environment.make_handlers(self._info, started),
                "process": _process_handlers,
                "fs": self._file_handlers,
                "http": self._http_handlers,
            }
        )

    def _file_handlers(self) -> Mapping[str, Handler]:
        from .handlers.files import FileMethods
        from .workers.workers import FileWorkers

        self._files = FileWorkers(self._config, os.environ)
        return FileMethods(self._files).handlers

    def _http_handlers(self) -> Mapping[str, Handler]:
        from .handlers.http import make_handlers
        from .http.requests import HttpRequests

        config = self._config
        self._http = HttpRequests(os.environ, config.limits, config.instruments)
        return make_handlers(self._http)

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
            self.handlers,
            self._config.limits,
            self._config.instruments,
        )

    def gauges(self) -> Gauges:
        """Return how much there is, for the metrics."""
        return self._registry.gauges()

    async def aclose(self) -> None:
        """End what belongs to no session, then the sessions. Connections are closed before.

        A second call finishes what the first began.
        """
        if self._http is not None:
            await self._http.aclose()
        if self._files is not None:
            await self._files.close()
        await self._registry.close(drain=self._config.drain)


def _process_handlers() -> Mapping[str, Handler]:
    from .handlers.process import HANDLERS

    return HANDLERS
