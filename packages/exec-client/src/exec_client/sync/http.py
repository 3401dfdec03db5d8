"""``client.http`` without ``async``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..http.client import Http as AsyncHttp
    from ..http.client import HttpResponse
    from ..http.client import HttpStream as AsyncHttpStream
    from .http_transport import SyncExecutorTransport
    from .portal import Portal

__all__ = ["Http", "HttpStream"]


class HttpStream:
    """``exec_client.http.HttpStream`` without ``async``: iterate over it, or ``read`` it."""

    def __init__(self, portal: Portal, stream: AsyncHttpStream) -> None:
        self._portal = portal
        self._stream = stream
        self.status = stream.status
        self.headers = stream.headers

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        return self._stream.header(name, default)

    def next_piece(self, timeout: float | None = None) -> bytes | None:
        """Return the next piece of the body as it came; ``None`` at the end.

        Raises:
            TimeoutError: There was none within ``timeout`` seconds. Nothing is lost by that.
        """
        return self._portal.call(_within(timeout, self._stream))

    def read(self) -> bytes:
        """Return all of the rest."""
        return self._portal.call(self._stream.read())

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self.next_piece()) is not None:
            yield piece


class Http:
    """``exec_client.http.Http`` without ``async``."""

    def __init__(self, portal: Portal, http: AsyncHttp) -> None:
        self.portal = portal
        self.http = http

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        """Make a request; takes what ``exec_client.http.Http.request`` takes."""
        return self.portal.call(self.http.request(method, url, **options))

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[HttpStream]:
        """Make a request whose body follows; takes what ``exec_client.http.Http.stream`` takes."""
        manager = self.http.stream(method, url, **options)
        stream = self.portal.call(_enter(manager))
        try:
            yield HttpStream(self.portal, stream)
        finally:
            self.portal.call(_leave(manager))

    def transport(self, *, max_request_bytes: int = 32 * 1024 * 1024) -> SyncExecutorTransport:
        """Return a transport for ``httpx.Client(transport=...)``.

        Args:
            max_request_bytes: Largest body to send; request bodies are held whole.

        Raises:
            ModuleNotFoundError: httpx is not there: ``pip install 'exec-client[httpx]'``.
        """
        from .http_transport import SyncExecutorTransport

        return SyncExecutorTransport(self, max_request_bytes=max_request_bytes)


async def _enter(manager: AbstractAsyncContextManager[AsyncHttpStream]) -> AsyncHttpStream:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[AsyncHttpStream]) -> None:
    await manager.__aexit__(None, None, None)


async def _within(timeout: float | None, stream: AsyncHttpStream) -> bytes | None:
    async with asyncio.timeout(timeout):
        return await stream.next_piece()
