"""One request of a client, from its params to its last frame.

The answer comes first, then the pieces of a streamed body, then exactly one frame that ends
it. What goes wrong before the answer is the answer; afterwards it is in the last frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from exec_server_protocol.errors import InvalidParamsError, RpcError
from exec_server_protocol.notifications import http_body_delta, http_body_end
from exec_server_protocol.rpc import encode_json

from ..errors import forget_frames
from ..runtime.direct_future import ALREADY_SENT, DirectFuture
from .answers import (
    BodyText,
    announced_length,
    body_budget,
    head,
    headers_json,
    whole_answer,
)
from .failures import RequestFailedError
from .memory import Held

if TYPE_CHECKING:
    from exec_server_protocol.http import HttpRequestParams

    from ..runtime.payload import Payload
    from ..runtime.peer import Peer
    from .network import Network
    from .outgoing import Body
    from .sending import IncomingResponse

__all__ = ["HttpRequest"]

logger = logging.getLogger(__name__)

_LONGEST_SECONDS: Final = 365 * 24 * 3600.0
"""Clients may ask for 2**64 ms, which the event loop's clock cannot add."""


class HttpRequest:
    """One request.

    Args:
        params: What was asked for.
        peer: Who asked.
        environ: Variables of the executor.
        held: Counts the bytes that it holds.
        message_bytes: Largest answer.
        turn: Held while a whole answer is sent: one at a time on a connection.
        payload: The body, when it is too long to be in ``params``.

    Attributes:
        id: The client's name for it.
        answer: Settled with the answer, or with the error.
        is_active_stream: Whether frames with its id may still be sent.
        is_answering: Whether its whole answer is being sent: it cannot be ended any more.
        is_cancelled: Whether the client has ended it: its place is free, it only has to say so.
    """

    def __init__(
        self,
        params: HttpRequestParams,
        peer: Peer,
        environ: Mapping[str, str],
        held: Held,
        message_bytes: int,
        turn: asyncio.Lock,
        payload: Payload | None = None,
    ) -> None:
        self._params = params
        self._peer = peer
        self._environ = environ
        self._held = held
        self._message_bytes = message_bytes
        self._turn = turn
        self._payload = payload
        self._seq = 0
        self._credit = params.stream_credit
        self._more_credit = asyncio.Event()
        self.id = params.request_id
        self._id_json = encode_json(self.id)
        self.is_active_stream = params.stream_response
        self.is_cancelled = False
        self.is_answering = False
        self.answer = DirectFuture()
        self._answered = False

    async def run(self, load_network: Callable[[], Awaitable[Network]]) -> None:
        """Make the request. Cancelling drops its connection at once; ``finish`` is still due.

        Raises:
            RpcError: It failed, before or after the answer.
        """
        milliseconds = self._params.timeout_ms
        seconds = None if milliseconds is None else min(milliseconds / 1000, _LONGEST_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                whole = await self._exchange(await load_network())
        except TimeoutError as error:
            raise RequestFailedError("timeout", "it took longer than timeoutMs") from error
        if whole is not None:
            async with self._turn:
                await self._send_whole(whole)

    async def _exchange(self, network: Network) -> Iterator[bytes] | None:
        """Do everything but send the answer that it returns, if any."""
        from .exchange import exchange  # these two import httpcore, which is loaded by now
        from .outgoing import prepare

        request = prepare(self._params, self._environ, await self._body())
        follow = self._params.redirect_policy == "follow"
        async with exchange(request, network, follow=follow) as response:
            if not self._params.stream_response:
                return await self._buffer(response)
            await self._stream(response)
            return None

    async def _body(self) -> Body:
        """Decode the body. A long one is decoded piece by piece, while others get their turn."""
        payload, self._payload = self._payload, None
        if payload is None:
            return self._params.body_base64 or b""
        pieces = []
        try:
            for piece in payload.decoded():
                pieces.append(piece)
                await asyncio.sleep(0)
        except ValueError as error:
            raise InvalidParamsError(f"bodyBase64: {error}") from error
        return tuple(pieces)

    async def _buffer(self, response: IncomingResponse) -> Iterator[bytes]:
        """Return the answer, in pieces, with all of the body in it."""
        headers = headers_json(response.headers)
        budget = body_budget(headers, self._message_bytes)
        is_head = self._params.method == "HEAD"
        if not is_head and (announced_length(response.status, response.headers) or 0) > budget:
            raise _too_large(budget)
        body = BodyText()
        try:
            async for piece in response.stream:
                if body.size + len(piece) > budget:
                    raise _too_large(budget)
                self._held.take(body.add(piece))
        except BaseException:
            body.take()  # now, and not when nobody has the error and its frames any more
            raise
        return whole_answer(self.answer.request_id, response.status, headers, body)

    async def _send_whole(self, pieces: Iterator[bytes]) -> None:
        """Send the answer in pieces, as the peer takes them.

        Nothing may end it in the middle but the end of the connection: what follows on the
        connection waits for its last piece.
        """
        self.is_answering = True
        piece = next(pieces)
        try:
            for following in pieces:
                self._peer.send_piece(piece, last=False, of=self)
                piece = following
                await self._congestion()
        finally:
            self._peer.send_piece(piece, last=True, of=self)
        self._give(ALREADY_SENT)

    async def _congestion(self) -> None:
        """Let others run, and wait while the peer should take something first."""
        await asyncio.sleep(0)
        while self._peer.congested:
            room = asyncio.Event()
            self._peer.when_uncongested(room.set)
            await room.wait()

    async def _stream(self, response: IncomingResponse) -> None:
        self._give(head(response.status, headers_json(response.headers)))
        async for piece in response.stream:
            await self._spend_credit()
            await self._room()
            self._seq += 1
            self._peer.send(http_body_delta(self._id_json, self._seq, piece))

    def _give(self, answer: bytes) -> None:
        """Settle the answer: the connection sends it before anything else is sent."""
        self._answered = True
        self.answer.set_result(answer)

    async def _spend_credit(self) -> None:
        """Wait until the client asks for a piece, if it wants to be asked."""
        while self._credit == 0:
            self._more_credit.clear()
            await self._more_credit.wait()
        if self._credit is not None:
            self._credit -= 1

    def add_credit(self, pieces: int) -> None:
        """Let so many more pieces be sent."""
        if self._credit is not None:
            self._credit += pieces
            self._more_credit.set()

    async def _room(self) -> None:
        """Wait while the peer does not take what it was sent: the origin waits as well."""
        while self._peer.full:
            room = asyncio.Event()
            self._peer.when_drained(room.set)
            await room.wait()

    def finish(self, error: BaseException | None) -> None:
        """Report its end in the way that is left, and give back its share of the memory.

        Args:
            error: Why it failed; ``None`` when it did not.
        """
        self._held.release()
        if isinstance(error, RequestFailedError):
            logger.info("http request failed: %s", error.kind)
        if not self._answered:
            self.is_active_stream = False
            self.answer.set_exception(error or RuntimeError("a request ended without an answer"))
        elif self.is_active_stream:
            self.is_active_stream = False  # before the frame: whoever has it may use the id
            frame = http_body_end(self._id_json, self._seq + 1, _as_text(error))
            self._peer.send(frame)
        if error is not None:
            forget_frames(error)


def _too_large(budget: int) -> RequestFailedError:
    text = f"the body is larger than the {budget} bytes that fit into one answer"
    return RequestFailedError("limit", f"{text}: ask for streamResponse")


def _as_text(error: BaseException | None) -> str | None:
    if error is None:
        return None
    if isinstance(error, RequestFailedError):
        return error.reason
    if isinstance(error, RpcError):
        return error.message
    logger.error("internal error in a streamed http request", exc_info=error)
    return "internal error"
