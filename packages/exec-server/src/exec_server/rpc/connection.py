"""One connection: requests in, answers out, and the session between them.

Requests are handled in the order of their arrival. A handler that can answer at once does
so; one that has to wait returns a future and lets the next request pass, so that nothing a
client sends holds up what it sends next. What may wait is bounded: when too much of it does,
or when the peer does not take its answers, further requests are read and kept, and when
there are many of those, the socket is no longer read; see ``waits``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any, Final, Protocol

from exec_server_protocol.errors import (
    INVALID_REQUEST,
    InvalidRequestError,
    MalformedMessageError,
    MethodNotFoundError,
    RequestTooLargeError,
    RpcError,
)
from exec_server_protocol.methods import INITIALIZE, INITIALIZED, REQUESTS, Allowed, Method
from exec_server_protocol.rpc import (
    MALFORMED_ID,
    ErrorData,
    Notification,
    Request,
    RequestId,
    decode_from_client,
    encode_error,
    encode_result,
    encode_result_parts,
    id_of_start,
)

from ..access.authorization import Owner
from ..config import Limits
from ..errors import forget_frames
from ..runtime.direct_future import ALREADY_SENT, AnswerWithHook, DirectFuture, Slices
from ..runtime.payload import Payload
from ..runtime.peer import Peer
from ..session.registry import SessionRegistry
from ..session.session import Session
from ..telemetry.instruments import OFF, Instruments, ObservedRequest
from ..telemetry.names import MALFORMED_MESSAGES
from ..transport.large_message import LargeMessage
from ..transport.waits import may_handle
from .error_boundary import to_error_data
from .long_polls import LongPolls
from .request_size import check_size, start_of
from .states import ConnectionEvent, ConnectionState, advance

__all__ = ["Answer", "Connection", "Handler"]

logger = logging.getLogger(__name__)

_LATER: Final = (DirectFuture, asyncio.Future)
"""What a handler returns when the answer comes later."""

_MESSAGE_COST: Final = 256
"""Bytes that a message which waits takes beside its text."""

_POLICY_VIOLATION = 1008
"""RFC 6455: the peer broke a rule that is not about frames."""

Answer = bytes | list[bytes] | Slices | AnswerWithHook
"""The JSON of a result, whole, in parts, or made while it is sent."""

Handler = Callable[["Connection", Any], "Answer | asyncio.Future[Any] | DirectFuture"]
"""Handles one request. Raises an ``RpcError`` to refuse; never waits."""


class Handlers(Protocol):
    """Handlers by method."""

    def get(self, method: str, /) -> Handler | None:
        """Return the handler of a method, or ``None`` when there is none."""


class Connection:
    """Requests and answers of one peer, and its session.

    Args:
        peer: The transport.
        owner: Whose client it is.
        registry: The server's sessions.
        handlers: Method to handler; see ``dispatch``.
        limits: How much may wait.
        instruments: Observe the requests.

    Attributes:
        waiting_bytes: What the messages take that were read and not yet handled.
        payload: What was cut out of the request that is being handled; its member is empty.
    """

    def __init__(
        self,
        peer: Peer,
        owner: Owner,
        registry: SessionRegistry,
        handlers: Handlers,
        limits: Limits,
        instruments: Instruments = OFF,
    ) -> None:
        self.peer = peer
        self.owner = owner
        self.registry = registry
        self.limits = limits
        self.state = ConnectionState.NEW
        self.session: Session | None = None
        self._handlers = handlers
        self.instruments = instruments
        self._inbound: deque[tuple[str | bytes | LargeMessage, float]] = deque()
        self._opening: asyncio.Handle | None = None
        self.payload: Payload | None = None
        self.long_polls = LongPolls(limits.parked_reads)
        self._parked: dict[asyncio.Future[Any] | DirectFuture, ObservedRequest] = {}
        self._crowded = False
        self._parked_bytes = self._message_bytes = 0
        self._handling = False
        self._lost_callbacks: list[Callable[[], None]] = []
        self.waiting_bytes = 0

    def __repr__(self) -> str:
        return f"<Connection {self.state.value} parked={len(self._parked)}>"

    # ------------------------------------------------------------------ the transport calls

    def message_received(self, data: str | bytes | LargeMessage) -> None:
        """Handle one message now, or when what is in front of it has been handled."""
        self._inbound.append((data, self.instruments.clock()))
        self.waiting_bytes += len(data) + _MESSAGE_COST
        if not self._handling:
            self._handle_inbound()

    def answers_can_leave(self) -> None:
        """The peer takes answers again."""
        self._go_on()

    def more_arrived(self) -> None:
        """Output that the peer has by now need not be kept for it."""
        if self.session is not None:
            self.session.processes.confirm_arrived()

    def connection_lost(self) -> None:
        """Detach the session and drop all requests that wait. Nothing can be answered."""
        self.state = advance(self.state, ConnectionEvent.CLOSE)
        self._inbound.clear()
        self.waiting_bytes = 0
        if self._opening is not None:
            self._opening.cancel()
        parked, self._parked = self._parked, {}
        for future, observed in parked.items():
            observed.abandoned()
            future.cancel()
        callbacks, self._lost_callbacks = self._lost_callbacks, []
        for callback in callbacks:
            callback()
        if self.session is not None:
            self.registry.detach(self.session, self.peer)

    # ------------------------------------------------------------------ in

    def _go_on(self) -> None:
        if self._inbound and not self._handling:
            self._handle_inbound()
            self.peer.count_held()

    def _handle_inbound(self) -> None:
        if self._opening is not None:
            return
        self._handling = True
        try:
            while self._inbound and self._may_handle:
                data, received = self._inbound.popleft()
                if isinstance(data, LargeMessage):
                    # Its last fragment has just been unmasked, which is enough for one turn.
                    loop = asyncio.get_running_loop()
                    self._opening = loop.call_soon(self._open, data, received)
                    break
                self.waiting_bytes -= len(data) + _MESSAGE_COST
                self._handle(data, received)
        finally:
            self._handling = False
        limit = self.limits.waiting_request_bytes
        # Half of it has to go before more is read, or each request would pause and resume.
        crowded = self.waiting_bytes > (limit // 2 if self._crowded else limit)
        if crowded is not self._crowded:
            self._crowded = crowded
            self.peer.set_crowded(crowded=crowded)

    @property
    def _may_handle(self) -> bool:
        return self.state is not ConnectionState.CLOSED and may_handle(
            answering=self.peer.answering, parked_full=self._parked_too_much
        )

    @property
    def _parked_too_much(self) -> bool:
        return (
            len(self._parked) >= self.limits.parked_requests
            or self._parked_bytes >= self.limits.message_bytes
        )

    def _open(self, large: LargeMessage, received: float) -> None:
        """Handle a large message. Those behind it have waited."""
        self._opening = None
        self.waiting_bytes -= len(large) + _MESSAGE_COST
        self._handling = True
        try:
            self._handle(large, received)
        finally:
            self.payload = None
            self._handling = False
        self._handle_inbound()
        self.peer.count_held()

    def _handle(self, data: str | bytes | LargeMessage, received: float) -> None:
        self._message_bytes = len(data)
        try:
            if isinstance(data, LargeMessage):
                message, self.payload = data.decode()
            else:
                message = decode_from_client(data)
        except RequestTooLargeError as error:
            self.instruments.count(MALFORMED_MESSAGES)
            refusal = ErrorData(INVALID_REQUEST, f"the request is too large: {error}")
            self.peer.send(encode_error(id_of_start(start_of(data)), refusal))
            return
        except MalformedMessageError as error:
            self.instruments.count(MALFORMED_MESSAGES)
            text = f"malformed message from {self.peer.peer}: {error}"
            self.peer.send(encode_error(MALFORMED_ID, ErrorData(INVALID_REQUEST, text)))
            return
        if isinstance(message, Request):
            self._handle_request(message, received)
        elif isinstance(message, Notification):
            self._handle_notification(message)
        else:
            # This server sends no requests, so there is nothing that could be answered.
            self.peer.close(_POLICY_VIOLATION, "an answer to a request that was never sent")

    def _handle_notification(self, message: Notification) -> None:
        if message.method != INITIALIZED.name:
            self.peer.close(_POLICY_VIOLATION, "unknown notification")
            return
        try:
            self.state = advance(self.state, ConnectionEvent.INITIALIZED)
        except ValueError:
            self.peer.close(_POLICY_VIOLATION, "initialized came before initialize")

    def _handle_request(self, request: Request, received: float) -> None:
        observed = self.instruments.request(request.method, request.trace, received)
        try:
            method = REQUESTS.get(request.method)
            handler = self._handlers.get(request.method)
            if method is None or handler is None:
                raise MethodNotFoundError(f"no such method: {request.method[:200]}")
            if not method.takes_no_params:
                check_size(request, self._message_bytes, self.payload)
            params = method.read_params(request.params)
            self._check_state(method)
            answer = observed.run(handler, self, params)
        except Exception as error:  # noqa: BLE001 - the one boundary; it tells faults apart
            self._refuse(request, observed, error)
            return
        if isinstance(answer, _LATER):
            self._park(request, observed, answer)
        else:
            self._answer(request.id, observed, answer)

    def _check_state(self, method: Method[Any, Any]) -> None:
        if self.state is ConnectionState.READY or method.allowed is Allowed.BEFORE_INITIALIZE:
            return
        missing = INITIALIZE if self.state is ConnectionState.NEW else INITIALIZED
        raise InvalidRequestError(
            f"client must send {missing.name} before using {method.family} methods"
        )

    # ------------------------------------------------------------------ out

    def _answer(self, request_id: RequestId, observed: ObservedRequest, answer: Answer) -> None:
        if isinstance(answer, AnswerWithHook):
            self._send_result(request_id, answer.json)
            answer.sent()
        elif isinstance(answer, list):
            *parts, last = encode_result_parts(request_id, answer)
            for part in parts:
                self.peer.send_piece(part, last=False, of=answer)
            self.peer.send_piece(last, last=True, of=answer)
        elif answer is not ALREADY_SENT:
            self._send_result(request_id, answer)
        observed.answered()

    def _send_result(self, request_id: RequestId, result: bytes | Slices) -> None:
        if isinstance(result, Slices):
            head, tail = encode_result_parts(request_id, [b"", b""])
            self.peer.send_slices(chain([head], result.parts, [tail]), result.size)
        else:
            self.peer.send(encode_result(request_id, result))

    def _refuse(self, request: Request, observed: ObservedRequest, error: BaseException) -> None:
        if isinstance(error, RpcError):
            logger.debug("%s refused with %d", request.method[:100], error.code)
        data = to_error_data(error, request.method[:100])
        self.peer.send(encode_error(request.id, data))
        observed.refused(data.code)
        forget_frames(error)

    def _park(
        self,
        request: Request,
        observed: ObservedRequest,
        future: asyncio.Future[Answer] | DirectFuture,
    ) -> None:
        self._parked[future] = observed
        request = Request(request.id, request.method)  # not the params: they may be large
        size = self._message_bytes
        self._parked_bytes += size
        if isinstance(future, DirectFuture):
            future.request_id = request.id

        def settle(done: asyncio.Future[Answer] | DirectFuture) -> None:
            if self._parked.pop(done, None) is None:
                return
            self._parked_bytes -= size
            if done.cancelled():
                return
            error = done.exception()
            if error is None:
                self._answer(request.id, observed, done.result())
            else:
                self._refuse(request, observed, error)
            self._go_on()

        future.add_done_callback(settle)

    # ------------------------------------------------------------------ for the handlers

    def attach(self, session: Session) -> None:
        """Tie this connection to a session: ``initialize`` has succeeded."""
        self.state = advance(self.state, ConnectionEvent.INITIALIZE)
        self.session = session
        self.peer.initialized()

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call back once, when the connection has ended: for what belongs to it alone."""
        self._lost_callbacks.append(callback)

    @property
    def attached_session(self) -> Session:
        """The session. Handlers of calls that need one run only when there is one."""
        if self.session is None:
            raise InvalidRequestError("the connection has no session")
        return self.session
