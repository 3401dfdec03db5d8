"""Watch over a peer: asks when it is silent, gives up when it stays so."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol

from exec_server_protocol._liveness import Liveness, Verdict

from .tcp import limit_unacknowledged, note_signs

__all__ = ["PeerWatch"]

logger = logging.getLogger(__name__)


class Watched(Protocol):
    """A connection that is open."""

    def is_read(self) -> bool:
        """Whether what the peer sends is read."""

    def ping(self) -> None:
        """Send a ping."""

    def abort(self) -> None:
        """Drop the socket."""


class PeerWatch:
    """One connection's, from its upgrade on. The pings also keep routes alive.

    Args:
        watched: The connection.
        sock: Its socket.
        timeout: Seconds of silence after which the peer is gone; 0 for never.
        interval: Seconds of silence between pings, at most.
    """

    def __init__(
        self, watched: Watched, sock: socket.socket | None, timeout: float, interval: float
    ) -> None:
        self._watched = watched
        self._sock = sock
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(timeout, interval, self._loop.time())
        self._handle: asyncio.TimerHandle | None = None
        self.look()

    def heard(self) -> None:
        """Something came, whatever it was."""
        self._liveness.heard(self._loop.time())

    def look(self) -> None:
        """Do what is due."""
        now = self._loop.time()
        note_signs(self._liveness, self._sock, now, read=self._watched.is_read())
        limit_unacknowledged(self._sock, self._timeout)
        verdict = self._liveness.look(now)
        if verdict is Verdict.GONE:
            logger.info("nothing came from a client for %g s", self._timeout)
            self._watched.abort()
            return
        if verdict is Verdict.PING:
            self._watched.ping()
        self._handle = self._loop.call_at(self._liveness.due, self.look)

    def close(self) -> None:
        """Watch no more."""
        if self._handle is not None:
            self._handle.cancel()
