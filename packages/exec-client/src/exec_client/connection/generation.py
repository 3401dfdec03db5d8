"""One connection generation: request ids, pending answers, the reader. Never used again.

The reader takes messages in their order. An answer settles its call at once; a
notification is handed to a function that does not wait. So an answer which arrived before
the end is delivered, and notifications flow before ``initialize`` is answered. The reader
waits for nothing that needs the reader.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from exec_server_protocol.errors import (
    METHOD_NOT_FOUND,
    ExecError,
    MalformedMessageError,
    ProtocolError,
)
from exec_server_protocol.methods import (
    FS_CLOSE,
    HTTP_REQUEST_CANCEL,
    HTTP_REQUEST_CREDIT,
    INITIALIZE,
    PROCESS_TERMINATE,
)
from exec_server_protocol.notifications import split_http_body_delta, split_process_output
from exec_server_protocol.rpc import (
    ErrorData,
    ErrorResponse,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    Trace,
    decode,
    encode_error,
    encode_notification,
    encode_request,
)

from ..options import ClientOptions
from ..telemetry.observing import Observer
from .idle_memory import MemoryReturn
from .read_budget import ReadBudget
from .websocket import MessageSocket, NotSentError

__all__ = ["DISCONNECTED", "MAX_PENDING_CALLS", "Generation", "GenerationLost"]

logger = logging.getLogger(__name__)

DISCONNECTED: Final = "exec-server transport disconnected"
"""How every text about a lost connection begins."""

MAX_PENDING_CALLS: Final = 1024
"""Calls that wait for an answer at once; further ones wait for their turn."""
_CLEAN_UP_METHODS: Final = frozenset(
    method.name
    for method in (
        INITIALIZE,
        PROCESS_TERMINATE,
        FS_CLOSE,
        HTTP_REQUEST_CANCEL,
        HTTP_REQUEST_CREDIT,
    )
)
"""Do not wait for a turn: they end what the other calls may be waiting for."""
_MAX_REFUSALS: Final = 256
"""Requests of the executor that may wait for their refusal to be sent; none is expected."""
_MAX_VALUES: Final = 2**63
"""JSON values in a message: an executor is trusted with the memory of its client. What a
process wrote in tiny pieces comes back as a very long list."""

_SPLITS: Final = ((split_process_output, "chunk"), (split_http_body_delta, "deltaBase64"))
"""What takes the payload out of a notification, and the member that it belongs to."""

_END_SECONDS: Final = 2.0
"""For what a connection that is over has left to read; the rest is recovered."""

_ANSWERED: Final = re.compile(
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2.0"\s*,\s*)?"id"\s*:\s*(\d{1,15})\s*,'
)
"""The beginning of an answer. The rest of it may be no JSON."""
_HEAD_LENGTH: Final = 200
_NO_MESSAGE: Final = "the executor sent what is no message"

_CLOSED_BY_RELAY: Final = (-32000, "JSON-RPC transport closed")
"""An error answer that says that the connection is gone: something between lost it."""


class GenerationLost(ExecError):
    """This connection is over.

    Attributes:
        sent: Whether the request may have left before.
        fault: What was wrong with what the executor sent, and may have been the answer to this
            request; ``None`` when the connection was just lost.
    """

    def __init__(self, *, sent: bool, fault: str | None = None) -> None:
        super().__init__(DISCONNECTED)
        self.sent = sent
        self.fault = fault


class Generation:
    """Calls over one connection.

    Args:
        websocket: Open already; owned from now on.
        options: For the trace hook.
        on_notification: Takes notifications, in order; raises to end the connection.
        on_lost: Called once when the connection is over, with a text that says why.
        budget: Says when the connection is not to be read, because too much waits to be.
        observer: Follows the calls.

    Attributes:
        lost: Whether it is over.
        stopped: Whether it is over because somebody else cancelled its reader, as
            ``asyncio.run`` does with every task at its end.
        answers: Answers that have come.
        messages: Messages that have come and made sense.
        held_back: Whether it is not read at the moment, for want of room.
    """

    def __init__(
        self,
        websocket: MessageSocket,
        options: ClientOptions,
        on_notification: Callable[[Notification], None],
        on_lost: Callable[[Generation, str], None],
        budget: ReadBudget,
        observer: Observer | None = None,
    ) -> None:
        self._websocket = websocket
        self._options = options
        self._on_notification = on_notification
        self._on_lost = on_lost
        self._budget = budget
        self._memory = MemoryReturn(enabled=options.give_back_memory)
        self._observer = observer or Observer("", options)
        self._pending: dict[RequestId, asyncio.Future[Any]] = {}
        self._next_id = 1
        self._turns = asyncio.Semaphore(MAX_PENDING_CALLS)
        self._to_the_end: set[RequestId] = set()
        self._refusals: set[asyncio.Task[None]] = set()
        self.lost = False
        self.stopped = False
        self.answers = 0
        self.messages = 0
        self.held_back = False
        self._reader = asyncio.get_running_loop().create_task(
            self._read(), name="exec-client-reader"
        )
        self._reader.add_done_callback(lambda _: self._drain(everything=True))

    @property
    def pending(self) -> int:
        """Calls that wait for an answer."""
        return len(self._pending)

    @property
    def received(self) -> int:
        """Bytes that have come over it."""
        return self._websocket.received

    async def call(self, method: str, params: bytes | None, *, to_the_end: bool = False) -> Any:
        """Send a request and return its result as parsed JSON.

        Cancelling forgets the call; nothing is sent about it.

        Args:
            method: Its name on the wire.
            params: Its params, encoded.
            to_the_end: When this side drops the connection, wait until everything that had
                arrived has been read: the executor may know that the answer has.

        Raises:
            RpcError: The executor refused.
            GenerationLost: The connection is over.
        """
        with self._observer.call(method) as observed:
            async with nullcontext() if method in _CLEAN_UP_METHODS else self._turns:
                hook = self._options.trace
                trace = hook(method) if hook else observed.trace
                return await self._request(method, params, trace, to_the_end=to_the_end)

    async def _request(
        self, method: str, params: bytes | None, trace: Trace | None, *, to_the_end: bool
    ) -> Any:
        # No await between the check and the registration: a call that registered is seen
        # by the drain at the end, one that did not is refused here.
        if self.lost:
            raise GenerationLost(sent=False)
        request_id = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        if to_the_end:
            self._to_the_end.add(request_id)
        try:
            with self._budget.waiting():
                await self._send(encode_request(request_id, method, params, trace))
                return await future
        finally:
            self._pending.pop(request_id, None)
            self._to_the_end.discard(request_id)
            if future.done() and not future.cancelled():
                future.exception()  # seen, also when sending failed first
            del future  # its error refers to this frame, which would refer to the error

    async def notify(self, method: str, params: bytes | None) -> None:
        """Send a notification.

        Raises:
            GenerationLost: The connection is over.
        """
        if self.lost:
            raise GenerationLost(sent=False)
        await self._send(encode_notification(method, params))

    async def _send(self, message: bytes) -> None:
        self._memory.carried(len(message))
        try:
            await self._websocket.send(message)
        except NotSentError as error:
            raise GenerationLost(sent=False) from error
        except ConnectionError as error:
            raise GenerationLost(sent=True) from error

    async def _read(self) -> None:
        reason = DISCONNECTED
        try:
            async for data in self._websocket.messages():
                self._memory.carried(len(data))
                try:
                    self._handle(data)
                except ProtocolError:
                    self._blame(data)
                    raise
                self.messages += 1
                del data  # not kept until the next one comes: it may be a long one
                await self._hold_back()
            if self._websocket.reason:
                reason = f"{DISCONNECTED}: {self._websocket.reason}"
        except ProtocolError as error:
            logger.warning("the executor sent what is no message: %s", type(error).__name__)
        except ValueError as error:
            logger.warning("the executor sent an event that makes no sense: %s", error)
            reason = f"exec-server notification handling failed: {error}"
        except asyncio.CancelledError:
            self.stopped = not self.lost
            raise
        finally:
            self._end(reason)

    def _blame(self, data: str | bytes) -> None:
        """Fail the call that a malformed message answers, or all calls if it names none."""
        head = data[:_HEAD_LENGTH]
        found = _ANSWERED.match(head if isinstance(head, bytes) else head.encode(errors="replace"))
        guilty = self._pending.get(int(found[1])) if found else None
        for future in self._pending.values() if guilty is None else (guilty,):
            if not future.done():
                future.set_exception(GenerationLost(sent=True, fault=_NO_MESSAGE))

    async def _hold_back(self) -> None:
        """Wait while too much waits to be read; see ``read_budget``."""
        budget = self._budget
        if budget.take_yield_request():
            await asyncio.sleep(0)
        while not self.lost and not budget.may_read():
            self.held_back = True
            await budget.wait_changed()
        self.held_back = False

    def _handle(self, data: str | bytes) -> None:
        message = self._decode(data)
        if isinstance(message, Notification):
            self._on_notification(message)
        elif isinstance(message, Response):
            self.answers += 1
            future = self._pending.get(message.id)
            if future is not None and not future.done():
                future.set_result(message.result)
        elif isinstance(message, ErrorResponse):
            self.answers += 1
            future = self._pending.get(message.id)
            if future is not None and not future.done():
                future.set_exception(_as_exception(message.error))
        elif isinstance(message, Request):
            self._refuse(message)
        else:  # pragma: no cover - the decoder knows four kinds
            raise MalformedMessageError("unknown kind of message")

    def _refuse(self, request: Request) -> None:
        """Answer a request of the executor: this client serves none."""
        if len(self._refusals) >= _MAX_REFUSALS:
            raise MalformedMessageError("requests without end")
        error = ErrorData(
            METHOD_NOT_FOUND, f"exec-server client does not implement `{request.method[:100]}` yet"
        )

        async def send() -> None:
            try:
                await self._send(encode_error(request.id, error))
            except GenerationLost:
                return

        task = asyncio.get_running_loop().create_task(send(), name="exec-client-refusal")
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    @staticmethod
    def _decode(data: str | bytes) -> Message:
        """Decode a message; the payload of a large output goes around the JSON parser."""
        if isinstance(data, bytes):
            for split, member in _SPLITS:
                parts = split(data)
                if parts is not None:
                    message = decode(parts[0])
                    if isinstance(message, Notification) and isinstance(message.params, dict):
                        message.params[member] = parts[1]
                    return message
        return decode(data, max_values=_MAX_VALUES)

    def _end(self, reason: str) -> None:
        if self.lost:
            return
        self.lost = True  # before anybody learns of it: who looks now sees a dead connection
        self._drain()
        self._memory.close()
        self._websocket.abort()
        self._budget.wake()
        for task in self._refusals:
            task.cancel()
        self._on_lost(self, reason)

    def _drain(self, *, everything: bool = False) -> None:
        for request_id, future in self._pending.items():
            if not future.done() and (everything or request_id not in self._to_the_end):
                future.set_exception(GenerationLost(sent=True))

    def abort(self, reason: str = DISCONNECTED) -> None:
        """Drop the connection; whatever waits for an answer learns of it.

        Events that have arrived are still read: the peer may know that they have, and may
        have let go of them.
        """
        self._end(reason)
        asyncio.get_running_loop().call_later(_END_SECONDS, self._reader.cancel)

    async def close(self) -> None:
        """End the connection politely and wait for the reader. It is not reported as lost."""
        self.lost = True
        self._memory.close()
        try:
            await self._websocket.close()
        finally:
            self._websocket.abort()
            self._reader.cancel()
            self._drain(everything=True)
        await asyncio.wait([self._reader, *self._refusals])

    async def wait_ended(self) -> None:
        """Wait until the reader of a connection that is over has read what was still there."""
        with self._budget.waiting():
            await asyncio.wait([self._reader], timeout=_END_SECONDS)
        if not self._reader.done():
            self.abort()
            self._reader.cancel()


def _as_exception(error: ErrorData) -> Exception:
    if (error.code, error.message) == _CLOSED_BY_RELAY:
        return GenerationLost(sent=True)
    return error.to_exception()
