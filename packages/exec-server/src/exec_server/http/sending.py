"""One request on the wire, and its response: the only function that sends.

Each request has a connection of its own. A pool would save handshakes, but a pooled
connection that the origin closes just then fails a request for no fault of its own, and
clients that know nothing of each other would share connections.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from .failures import FailureKind, RequestFailedError
from .network import Network
from .observing import observe
from .outgoing import OutgoingRequest

__all__ = ["IncomingResponse", "send"]

_ONE_CONNECTION: Final = httpx.Limits(max_connections=1, max_keepalive_connections=0)


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
    with _failures_of(request.url.host):
        transport = httpx.AsyncHTTPTransport(
            verify=route.tls, trust_env=False, proxy=route.proxy, limits=_ONE_CONNECTION
        )
    async with transport:
        with observe(request, network.instruments) as observed:
            message = httpx.Request(
                request.method,
                request.url,
                headers=[
                    (name.encode(), value)
                    for name, value in (*request.complete_headers(), *observed.headers)
                ],
                stream=httpx.ByteStream(request.body),
            )
            message.method = request.method  # the constructor makes it upper case
            with _failures_of(request.url.host):
                response = await transport.handle_async_request(message)
            observed.answered(response.status_code)
        stream = _pieces(response, request.url.host)
        try:
            yield IncomingResponse(response.status_code, response.headers.raw, stream)
        finally:
            await stream.aclose()
            await response.aclose()


async def _pieces(response: httpx.Response, host: str) -> AsyncGenerator[bytes, None]:
    with _failures_of(host):
        async for piece in response.stream:  # type: ignore[union-attr]  # of an async transport
            if piece:
                yield piece


@contextmanager
def _failures_of(host: str) -> Iterator[None]:
    """Turn what httpx raises into what the client is told."""
    try:
        yield
    except httpx.HTTPError as error:
        kind, reason = _explain(error, host)
        raise RequestFailedError(kind, reason) from error
    except UnicodeError as error:  # a label that the resolver's encoding refuses
        raise RequestFailedError("connect", f"cannot connect to {host}: no such name") from error
    except ImportError as error:
        text = "the executor's environment names a SOCKS proxy, which needs the package socksio"
        raise RequestFailedError("proxy", text) from error


def _explain(error: httpx.HTTPError, host: str) -> tuple[FailureKind, str]:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "tls", f"the certificate of {host} is not accepted: {cause.verify_message}"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "tls", f"the TLS handshake with {host} failed"
    if isinstance(error, httpx.ProxyError):
        return "proxy", "the proxy did not make the connection"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "connect", f"cannot connect to {host}: {_system_reason(causes)}"
    if isinstance(error, httpx.LocalProtocolError):
        return "protocol", "the request cannot be sent as HTTP/1.1"
    if isinstance(error, httpx.ProtocolError):
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
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "the name does not resolve"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return "nobody is there"
