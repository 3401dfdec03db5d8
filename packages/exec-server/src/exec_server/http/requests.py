"""The requests that are under way: limits, stream ids, one task for each.

A task belongs to the connection that asked for it and ends with it; the origin sees its own
connection go. Tasks take nothing from the lanes of other requests: a response that takes
for ever holds up nobody.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from exec_server_protocol.errors import InvalidParamsError

from ..config import Limits
from ..runtime.direct_future import DirectFuture
from ..telemetry.instruments import OFF, Instruments
from .failures import RequestFailedError
from .memory import BodyMemory, Held
from .request import HttpRequest

if TYPE_CHECKING:
    from exec_server_protocol.http import HttpRequestParams

    from ..runtime.payload import Payload
    from ..runtime.peer import Peer
    from .network import Network

__all__ = ["HttpRequests"]

logger = logging.getLogger(__name__)

_END_SECONDS: Final = 5.0
"""For cancelled requests to close their sockets when the server stops: they do not wait."""


class Asker(Protocol):
    """The connection that asks.

    Attributes:
        peer: The way out to its peer.
        payload: The long base64 text of the request that is being handled, if it has one.
    """

    peer: Peer
    payload: Payload | None

    def when_lost(self, callback: Callable[[], None], /) -> None:
        """Call back once when the connection ends."""


class _Running(dict[HttpRequest, asyncio.Task[None]]):
    """The requests of one connection.

    Attributes:
        turn: Of those that send a whole answer: several at once would fill the memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Lock()


class HttpRequests:
    """All requests that a server makes for its clients.

    Args:
        environ: Variables of the executor: proxies, certificates, header values.
        limits: How many, and how much they may hold.
        instruments: Told of each request.
    """

    def __init__(
        self, environ: Mapping[str, str], limits: Limits, instruments: Instruments = OFF
    ) -> None:
        self._environ = environ
        self._instruments = instruments
        self._limits = limits
        self._memory = BodyMemory(limits.http_buffered_bytes)
        self._network: Network | None = None
        self._loading = asyncio.Lock()
        self._connections: dict[Asker, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, asker: Asker, params: HttpRequestParams) -> DirectFuture:
        """Begin a request; returns its answer.

        Raises:
            InvalidParamsError: A stream with this id is active on the connection.
            RequestFailedError: There are as many requests as there may be.
        """
        running = self._connections.get(asker)
        if running is None:
            running = self._connections[asker] = _Running()
            asker.when_lost(lambda: self._drop(asker))
        if params.stream_response and any(
            one.is_active_stream and one.id == params.request_id for one in running
        ):
            raise InvalidParamsError("http/request streamResponse requestId is already active")
        count = sum(not one.is_cancelled for one in running)
        if count >= self._limits.http_requests_per_connection:
            raise RequestFailedError("limit", "the connection has too many requests under way")
        if len(self._tasks) >= self._limits.http_requests:
            raise RequestFailedError("limit", "the executor has too many requests under way")
        held = Held(self._memory)
        payload = asker.payload
        held.take(len(params.body_base64 or b"") if payload is None else payload.size)
        request = HttpRequest(
            params,
            asker.peer,
            self._environ,
            held,
            self._limits.http_answer_bytes,
            running.turn,
            payload,
        )
        task = asyncio.get_running_loop().create_task(
            request.run(self._load_network), name="exec-server-http"
        )
        running[request] = task
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            running.pop(request, None)
            if task.cancelled():
                request.finish(RequestFailedError("cancelled", "it was cancelled"))
            else:
                request.finish(task.exception())

        task.add_done_callback(ended)
        return request.answer

    def cancel(self, asker: Asker, request_id: str) -> None:
        """End every request of a connection that has this id; that there is none is fine."""
        for request, task in self._connections.get(asker, {}).items():
            if request.id == request_id and not request.is_answering:
                request.is_cancelled = True
                task.cancel()

    def add_credit(self, asker: Asker, request_id: str, pieces: int) -> None:
        """Let an active stream send more; that there is none is fine."""
        for request in self._connections.get(asker, {}):
            if request.is_active_stream and request.id == request_id:
                request.add_credit(pieces)

    def _drop(self, asker: Asker) -> None:
        for task in self._connections.pop(asker).values():
            task.cancel()

    async def _load_network(self) -> Network:
        """Return what finds routes. The first time it imports httpcore, on a thread."""
        async with self._loading:
            if self._network is None:
                await asyncio.to_thread(importlib.import_module, f"{__package__}.exchange")
                from .network import Network

                self._network = Network(self._environ, self._instruments)
        return self._network

    async def aclose(self) -> None:
        """End every request and wait until its socket is closed."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        if self._tasks:
            logger.warning("some http requests did not end within %g s", _END_SECONDS)
