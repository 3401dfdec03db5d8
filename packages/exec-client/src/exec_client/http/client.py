"""Requests and streamed bodies."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exec_server_protocol.errors import RpcError
from exec_server_protocol.http import (
    CAPABILITY_HTTP_CANCEL,
    CAPABILITY_HTTP_CREDIT,
    HttpHeader,
    HttpRequestCancelParams,
    HttpRequestCreditParams,
    HttpRequestParams,
    HttpRequestResult,
)
from exec_server_protocol.methods import HTTP_REQUEST, HTTP_REQUEST_CANCEL, HTTP_REQUEST_CREDIT

from ..connection.calls import P, request
from ..connection.generation import Generation, GenerationLost
from ..errors import ClientError

if TYPE_CHECKING:
    from exec_server_protocol.methods import Method

    from ..session.bodies import Body
    from ..session.session import Session
    from .transport import ExecutorTransport

__all__ = ["Http", "HttpResponse", "HttpStream", "RequestHeaders"]

logger = logging.getLogger(__name__)

RequestHeaders = Mapping[str, str] | Iterable[tuple[str, str] | HttpHeader]
"""Names and values in order; an ``HttpHeader`` may take its value from a variable of the
executor's environment."""

_CAPABILITY_VARIABLES: Final = "httpHeaderEnvVars"


@dataclass(frozen=True, slots=True)
class _Head:
    """Head of a response: all that comes before a body.

    Attributes:
        status: Any status: none is an error.
        headers: Names in lower case; repeats are next to each other.
    """

    status: int
    headers: Sequence[tuple[str, str]]

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        wanted = name.lower()
        return next((value for one, value in self.headers if one == wanted), default)


@dataclass(frozen=True, slots=True)
class HttpResponse(_Head):
    """A whole response.

    Attributes:
        status: Any status: none is an error.
        headers: Names in lower case; repeats are next to each other.
        body: As the origin sent it: see ``content-encoding``.
    """

    body: bytes


class HttpStream(_Head):
    """A response whose body is still coming: iterate over it, or ``read`` it.

    Attributes:
        status: Any status: none is an error.
        headers: Names in lower case; repeats are next to each other.
    """

    __slots__ = ("_body",)

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: Body) -> None:
        super().__init__(status, headers)
        object.__setattr__(self, "_body", body)

    async def next_piece(self) -> bytes | None:
        """Return the next piece of the body as it came; ``None`` at the end.

        Cancelling loses nothing.

        Raises:
            HttpBodyError: There is no more, and the body is not complete: the origin cut it,
                its time is over, or it was not read in time.
            ConnectionBrokenError: The connection to the executor was lost. Streams end with it.
            ClientClosedError: The client was closed.
        """
        body: Body = self._body  # type: ignore[attr-defined]
        return await body.take()

    async def read(self) -> bytes:
        """Return all of the rest; raises as ``next_piece`` does."""
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self.next_piece()) is not None:
            yield piece


class Http:
    """Makes HTTP requests from the executor. ``Client.http`` and ``Environment.http``.

    Requests use the executor's network: its names, proxies and certificates. None is ever
    repeated: when the connection to the executor is lost, a request that was sent raises
    ``ConnectionBrokenError``, and one that was not waits for the client to recover.

    Args:
        session: Returns the session to use, connecting first where needed.
    """

    def __init__(self, session: Callable[[], Awaitable[Session]]) -> None:
        self.session = session

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: RequestHeaders = (),
        body: bytes | str = b"",
        timeout: float | None = None,
        follow_redirects: bool = True,
    ) -> HttpResponse:
        """Make a request and return the whole response.

        Cancelling it ends the request, if the executor can do that.

        Args:
            method: Any HTTP method; its case is kept.
            url: ``http`` or ``https``, as the executor reaches it.
            headers: Sent in this order, repeats included.
            body: Text is sent as UTF-8.
            timeout: Seconds for all of it, from the executor's view; ``None`` for no limit.
            follow_redirects: Whether the executor follows them, ten at most.

        Raises:
            RpcError: The executor refused it as no valid HTTP (``InvalidParamsError``), or
                got no whole response (``InternalError``): ``data["kind"]`` may say why.
                Bodies above some 48 MiB have to be streamed.
            UnsupportedError: A header names a variable and the executor takes none.
            ConnectionBrokenError: The answer was lost.
        """
        session = await self.session()
        request = _Request(session, session.bodies.new_id())
        try:
            answer = await request.send(
                method, url, headers, body, timeout, follow_redirects, stream=False
            )
        except BaseException:
            request.cancel()
            raise
        return HttpResponse(answer.status, _pairs(answer), answer.body_base64)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: RequestHeaders = (),
        body: bytes | str = b"",
        timeout: float | None = None,
        follow_redirects: bool = True,
    ) -> AsyncIterator[HttpStream]:
        """Make a request; the block begins when the headers are there, and the body follows.

        Leaving the block ends the request, also in the middle of the body. Arguments and
        errors are those of ``request``; ``timeout`` covers the body too.

        Yields:
            The response. It must be read, or left: what is not read holds up its origin. An
            executor without credit, such as the reference, sends on all the same: there,
            calls of the same client between two pieces of a large body take long, and may
            let the body fail.
        """
        session = await self.session()
        incoming = session.bodies.open()
        request = _Request(session, incoming.id, incoming)
        try:
            answer = await request.send(
                method, url, headers, body, timeout, follow_redirects, stream=True
            )
            yield HttpStream(answer.status, _pairs(answer), incoming)
        finally:
            session.bodies.close(incoming)
            if not incoming.ended:
                request.cancel()
            incoming.let_go()

    def transport(self, *, max_request_bytes: int = 32 * 1024 * 1024) -> ExecutorTransport:
        """Return a transport for ``httpx.AsyncClient(transport=...)``.

        Args:
            max_request_bytes: Largest body to send; request bodies are held whole.

        Raises:
            ModuleNotFoundError: httpx is not there: ``pip install 'exec-client[httpx]'``.
        """
        from .transport import ExecutorTransport

        return ExecutorTransport(self, max_request_bytes=max_request_bytes)


class _Request:
    """One request, and how to end it."""

    def __init__(self, session: Session, request_id: str, body: Body | None = None) -> None:
        self._session = session
        self._id = request_id
        self._body = body
        self._generation: Generation | None = None
        if body is not None:
            body.stop = self.cancel

    async def send(
        self,
        method: str,
        url: str,
        headers: RequestHeaders,
        body: bytes | str,
        timeout: float | None,
        follow_redirects: bool,
        *,
        stream: bool,
    ) -> HttpRequestResult:
        """Send it and return the answer."""
        wire_headers = _wire_headers(headers)
        if any(header.value_env_var is not None for header in wire_headers):
            self._session.require(_CAPABILITY_VARIABLES, "a header from a variable")
        params = HttpRequestParams(
            method=method,
            url=url,
            headers=wire_headers,
            body_base64=body.encode() if isinstance(body, str) else bytes(body) or None,
            timeout_ms=None if timeout is None else max(0, math.ceil(timeout * 1000)),
            redirect_policy="follow" if follow_redirects else "stop",
            request_id=self._id,
            stream_response=stream,
            stream_credit=self._use_credit() if stream else None,
        )
        try:
            answer: Any = await request(self._session, HTTP_REQUEST, params, bind=self._bind)
        except RpcError:
            self._generation = None  # it is over: there is nothing to end
            raise
        return HttpRequestResult.model_validate(answer)

    def _use_credit(self) -> int | None:
        if self._body is None or not self._session.supports(CAPABILITY_HTTP_CREDIT):
            return None
        credit = self._session.bodies.fair_credit()
        self._body.use_credit(credit, self._grant)
        return credit

    def _bind(self, generation: Generation) -> None:
        self._generation = generation
        if self._body is not None:
            self._body.bind(generation)

    def _grant(self, pieces: int) -> None:
        params = HttpRequestCreditParams(request_id=self._id, pieces=pieces)
        self._tell(HTTP_REQUEST_CREDIT, params)

    def cancel(self) -> None:
        """End it, if the executor can; nothing is waited for."""
        if self._session.supports(CAPABILITY_HTTP_CANCEL):
            self._tell(HTTP_REQUEST_CANCEL, HttpRequestCancelParams(request_id=self._id))

    def _tell(self, method: Method[P, Any], params: P) -> None:
        generation = self._generation
        if generation is None or generation.lost:
            return  # requests end with their connection

        async def tell() -> None:
            try:
                await request(self._session, method, params, only=generation)
            except (ClientError, RpcError, GenerationLost) as error:
                logger.debug("%s had no effect: %s", method.name, type(error).__name__)

        self._session.background.start(tell(), name="exec-client-http")


def _wire_headers(headers: RequestHeaders) -> list[HttpHeader]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [
        header if isinstance(header, HttpHeader) else HttpHeader(name=header[0], value=header[1])
        for header in pairs
    ]


def _pairs(answer: HttpRequestResult) -> list[tuple[str, str]]:
    return [(header.name.lower(), header.value) for header in answer.headers]
