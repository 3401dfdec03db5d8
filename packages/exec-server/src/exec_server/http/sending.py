"""One request on the wire, and its response: the only function that sends.

Each request has a connection of its own. A pool would save handshakes, but a pooled
connection that the origin closes just then fails a request for no fault of its own, and
clients that know nothing of each other would share connections.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from .failures import FailureKind, RequestFailedError
from .network import Network, Route
from .outgoing import Headers, OutgoingRequest
from .resolver import NameNotFoundError
from .urls import Url
from .wire_span import observe

__all__ = ["IncomingResponse", "send"]

_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
"""What httpcore raises; they have no base of their own."""


@dataclass(frozen=True, slots=True)
class IncomingResponse:
    """A response of which the headers are there.

    Attributes:
        status: Never a 1xx, except for 101.
        headers: As they came, in their order.
        stream: The body, as it comes, in pieces of at most 64 KiB.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    stream: AsyncIterator[bytes]

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header; ``name`` in lower case."""
        return next((value for one, value in self.headers if one.lower() == name), None)


@asynccontextmanager
async def send(request: OutgoingRequest, network: Network) -> AsyncIterator[IncomingResponse]:
    """Send a request and yield the response once its headers are there.

    Nothing is decoded and nothing followed. Leaving the block, or cancelling, drops the
    connection at once, whatever is still to come.

    Raises:
        RequestFailedError: There is no response; from its ``stream``: it ends too early.
    """
    if request.url.port == 0:  # would be taken for the default port
        raise RequestFailedError("connect", f"cannot connect to {request.url.host}: port 0")
    route = await network.route(request.url)
    host = request.url.host
    async with _pool(route, network) as pool:
        with observe(request, network.instruments) as observed, _failures_of(host):
            message = _message(request, tuple(observed.headers))
            response = await pool.handle_async_request(message)
            observed.answered(response.status)
        stream = _pieces(response, host)
        try:
            yield IncomingResponse(response.status, response.headers, stream)
        finally:
            await stream.aclose()
            await response.aclose()


def _message(request: OutgoingRequest, further: Headers) -> httpcore.Request:
    url = request.url
    headers = (*request.complete_headers(), *further)
    return httpcore.Request(
        request.method.encode(),
        _as_httpcore(url),
        headers=[(name.encode(), value) for name, value in headers],
        content=request.body if isinstance(request.body, bytes) else _each(request.body),
    )


async def _each(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _pool(route: Route, network: Network) -> httpcore.AsyncConnectionPool:
    """Return what makes one connection."""
    proxy = route.proxy
    common: dict[str, Any] = {
        "ssl_context": route.tls,
        "max_connections": 1,
        "max_keepalive_connections": 0,
        "network_backend": network.connector,
    }
    if proxy is None:
        return httpcore.AsyncConnectionPool(**common)
    url = _as_httpcore(proxy)
    auth = (proxy.username.encode(), proxy.password.encode()) if proxy.userinfo else None
    if proxy.scheme.startswith("socks5"):
        try:
            return httpcore.AsyncSOCKSProxy(url, proxy_auth=auth, **common)
        except (ImportError, RuntimeError) as error:  # how httpcore says that socksio is missing
            text = "the executor's environment names a SOCKS proxy, which needs the package socksio"
            raise RequestFailedError("proxy", text) from error
    to_proxy = route.tls if proxy.scheme == "https" else None
    return httpcore.AsyncHTTPProxy(url, proxy_auth=auth, proxy_ssl_context=to_proxy, **common)


def _as_httpcore(url: Url) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.raw_path
    )


async def _pieces(response: httpcore.Response, host: str) -> AsyncGenerator[bytes, None]:
    with _failures_of(host):
        async for piece in response.aiter_stream():
            if piece:
                yield piece


@contextmanager
def _failures_of(host: str) -> Iterator[None]:
    """Turn an exception of httpcore into the error that the client gets."""
    try:
        yield
    except _ERRORS as error:
        kind, reason = _explain(error, host)
        raise RequestFailedError(kind, reason) from error


def _explain(error: Exception, host: str) -> tuple[FailureKind, str]:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "tls", f"the certificate of {host} is not accepted: {cause.verify_message}"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "tls", f"the TLS handshake with {host} failed"
    if isinstance(error, httpcore.ProxyError):
        return "proxy", "the proxy did not make the connection"
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
        return "connect", f"cannot connect to {host}: {_system_reason(causes)}"
    if isinstance(error, httpcore.LocalProtocolError):
        return "protocol", "the request cannot be sent as HTTP/1.1"
    if isinstance(error, httpcore.ProtocolError):
        return "protocol", f"{host} did not answer with one complete HTTP response"
    return "network", f"the connection to {host} broke"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions


def _system_reason(causes: Sequence[BaseException]) -> str:
    if any(isinstance(cause, NameNotFoundError) for cause in causes):
        return "the name does not resolve"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return "nobody is there"
