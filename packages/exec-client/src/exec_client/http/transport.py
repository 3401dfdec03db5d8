"""A transport of httpx: whatever uses it sends its requests from the executor.

::

    async with httpx.AsyncClient(transport=client.http.transport()) as web:
        await web.post("http://internal/items", json={"name": "x"})

Needs the extra ``exec-client[httpx]``; nothing else in this package imports this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"exec_client.http.transport needs {error.name}: pip install 'exec-client[httpx]'",
        name=error.name,
    ) from error

from exec_server_protocol.errors import InvalidParamsError, RpcError

from ..errors import ClientClosedError, ClientError, ConnectionBrokenError, HttpBodyError

if TYPE_CHECKING:
    from .client import Http, HttpStream

__all__ = ["ExecutorTransport", "Parts", "as_httpx_errors", "outgoing_headers", "until_headers"]

_BY_KIND: Final[dict[str, type[httpx.TransportError]]] = {
    "connect": httpx.ConnectError,
    "tls": httpx.ConnectError,
    "proxy": httpx.ProxyError,
    "network": httpx.ReadError,
    "protocol": httpx.RemoteProtocolError,
    "timeout": httpx.ReadTimeout,
}
"""What httpx would raise had it made the request itself, by what the executor says."""


class ExecutorTransport(httpx.AsyncBaseTransport):
    """Sends requests from an executor. Made by ``client.http.transport()``.

    httpx keeps doing what it does above a transport: redirects, cookies, authentication,
    decoding. What it configures below one is the executor's instead: proxies, certificates,
    connections. Timeouts hold here: ``connect`` and ``read`` together until the headers are
    there, ``read`` for each piece of the body; a request to stop is sent when one is over.

    Closing it closes nothing of the client.

    Args:
        http: What makes the requests.
        max_request_bytes: Largest body to send. Bodies are held whole, since the protocol
            sends them in one message.
    """

    def __init__(self, http: Http, *, max_request_bytes: int) -> None:
        self._http = http
        self._max_request_bytes = max_request_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns when the headers of its response are there.

        Raises:
            httpx.TransportError: As httpx's own transport does.
        """
        times: dict[str, float | None] = request.extensions.get("timeout", {})
        headers = outgoing_headers(request)
        assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - httpx's own rule
        parts = Parts(self._max_request_bytes)
        async for part in request.stream:
            parts.add(part)
        manager = self._http.stream(
            request.method,
            str(request.url),
            headers=headers,
            body=parts.join(),
            follow_redirects=False,
        )
        async with AsyncExitStack() as stack:
            with as_httpx_errors():
                async with asyncio.timeout(until_headers(times)):
                    stream = await stack.enter_async_context(manager)
            return httpx.Response(
                stream.status,
                headers=[(name.encode(), value.encode()) for name, value in stream.headers],
                stream=_BodyStream(stack.pop_all(), stream, times.get("read")),
                extensions={"http_version": b"HTTP/1.1"},
            )


class Parts:
    """The body of a request, as httpx gives it.

    Args:
        limit: In bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            httpx.LocalProtocolError: It becomes too large.
        """
        self._size += len(part)
        if self._size > self._limit:
            raise httpx.LocalProtocolError(f"the request is larger than {self._limit} bytes")
        self._parts.append(part)

    def join(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


class _BodyStream(httpx.AsyncByteStream):
    """The body of a response, as httpx reads it."""

    def __init__(self, stack: AsyncExitStack, stream: HttpStream, timeout: float | None) -> None:
        self._stack = stack
        self._stream = stream
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            with as_httpx_errors():
                async with asyncio.timeout(self._timeout):
                    piece = await self._stream.next_piece()
            if piece is None:
                return
            yield piece

    async def aclose(self) -> None:
        await self._stack.aclose()


def outgoing_headers(request: httpx.Request) -> list[tuple[str, str]]:
    """Return the headers of a request for the wire.

    Raises:
        httpx.LocalProtocolError: One is no UTF-8, which the wire cannot carry.
    """
    try:
        return [
            (name.decode("ascii"), value.decode("utf-8"))
            for name, value in request.headers.raw
            if name.lower() != b"transfer-encoding"  # the body is whole by now
        ]
    except UnicodeDecodeError as error:
        raise httpx.LocalProtocolError("a header is not UTF-8") from error


def until_headers(times: dict[str, Any]) -> float | None:
    """Return how long headers may take, by the timeouts of a request."""
    read, connect = times.get("read"), times.get("connect")
    return None if read is None else float(read) + float(connect or 0.0)


@contextmanager
def as_httpx_errors() -> Iterator[None]:
    """Turn what goes wrong into what httpx's own transport would raise."""
    try:
        yield
    except TimeoutError as error:
        raise httpx.ReadTimeout("the executor had nothing in time") from error
    except InvalidParamsError as error:
        raise httpx.LocalProtocolError(error.message) from error
    except RpcError as error:
        kind = error.data.get("kind") if isinstance(error.data, dict) else None
        known = _BY_KIND.get(kind, httpx.NetworkError) if isinstance(kind, str) else None
        raise (known or httpx.NetworkError)(error.message) from error
    except HttpBodyError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except ConnectionBrokenError as error:
        raise httpx.ReadError(str(error)) from error
    except ClientClosedError as error:
        raise httpx.CloseError(str(error)) from error
    except ClientError as error:
        raise httpx.ConnectError(str(error)) from error
