"""The transport of ``httpx.Client``; see ``transport`` for that of ``httpx.AsyncClient``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from ..http.transport import Parts, as_httpx_errors, outgoing_headers, until_headers

import httpx  # isort: skip - after the module that says how to get it

if TYPE_CHECKING:
    from ..http.client import HttpStream
    from .http import Http

__all__ = ["SyncExecutorTransport"]


class SyncExecutorTransport(httpx.BaseTransport):
    """Sends requests from an executor. Made by ``exec_client.sync``'s ``client.http.transport()``.

    Args:
        http: What makes the requests.
        max_request_bytes: Largest body to send.
    """

    def __init__(self, http: Http, *, max_request_bytes: int) -> None:
        self._http = http
        self._max_request_bytes = max_request_bytes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns when the headers of its response are there.

        Raises:
            httpx.TransportError: As httpx's own transport does.
        """
        times: dict[str, float | None] = request.extensions.get("timeout", {})
        headers = outgoing_headers(request)
        assert isinstance(request.stream, httpx.SyncByteStream)  # noqa: S101 - httpx's own rule
        parts = Parts(self._max_request_bytes)
        for part in request.stream:
            parts.add(part)
        manager = self._http.http.stream(
            request.method,
            str(request.url),
            headers=headers,
            body=parts.join(),
            follow_redirects=False,
        )
        with as_httpx_errors():
            stream = self._http.portal.call(_enter(manager, until_headers(times)))
        return httpx.Response(
            stream.status,
            headers=[(name.encode(), value.encode()) for name, value in stream.headers],
            stream=_BodyStream(self._http, manager, stream, times.get("read")),
            extensions={"http_version": b"HTTP/1.1"},
        )


async def _enter(
    manager: AbstractAsyncContextManager[HttpStream], timeout: float | None
) -> HttpStream:
    async with asyncio.timeout(timeout):
        return await manager.__aenter__()


class _BodyStream(httpx.SyncByteStream):
    """The body of a response, as httpx reads it."""

    def __init__(
        self,
        http: Http,
        manager: AbstractAsyncContextManager[HttpStream],
        stream: HttpStream,
        timeout: float | None,
    ) -> None:
        self._portal = http.portal
        self._manager: AbstractAsyncContextManager[HttpStream] | None = manager
        self._stream = stream
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with as_httpx_errors():
                piece = self._portal.call(self._next())
            if piece is None:
                return
            yield piece

    async def _next(self) -> bytes | None:
        async with asyncio.timeout(self._timeout):
            return await self._stream.next_piece()

    def close(self) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            with as_httpx_errors():
                self._portal.call(_leave(manager))


async def _leave(manager: AbstractAsyncContextManager[HttpStream]) -> None:
    await manager.__aexit__(None, None, None)
