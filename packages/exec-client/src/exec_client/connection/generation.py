"""One connection generation: request ids, pending answers, the reader. Never used again.

The reader takes messages in their order. An answer settles its call at once; a
notification is handed to a function that does not wait. So an answer which arrived before
the end is delivered, and notifications flow before ``initialize`` is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from exec_server_protocol.errors import METHOD_NOT_FOUND, MalformedMessageError, ProtocolError
from exec_server_protocol.notifications import split_process_output
from exec_server_protocol.rpc import (
    ErrorData,
    ErrorResponse,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    decode,
    encode_error,
    encode_notification,
    encode_request,
)

from ..options import ClientOptions
from .websocket import WebSocket

__all__ = ["DISCONNECTED", "Generation", "GenerationLost"]

logger = logging.getLogger(__name__)

DISCONNECTED = "exec-server transport disconnected"
"""How every text about a lost connection begins."""


class GenerationLost(Exception):
    """This connection is over.

    Attributes:
        sent: Whether the request may have left before.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__(DISCONNECTED)
        self.sent = sent


class Generation:
    """Calls over one connection.

    Args:
        websocket: Open already; owned from now on.
        options: For the trace hook.
        on_notification: Takes notifications, in order; raises to end the connection.
        on_lost: Called once when the connection is over, with a text that says why.
        may_read: Awaited before each message; holds back while too much is unread.
    """

    def __init__(
        self,
        websocket: WebSocket,
        options: ClientOptions,
        on_notification: Callable[[Notification], None],
        on_lost: Callable[[Generation, str], None],
        may_read: Callable[[Generation], Awaitable[None]],
    ) -> None:
        self._websocket = websocket
        self._options = options
        self._on_notification = on_notification
        self._on_lost = on_lost
        self._may_read = may_read
        self._pending: dict[RequestId, asyncio.Future[Any]] = {}
        self._next_id = 1
        self.lost = False
        self._reader = asyncio.get_running_loop().create_task(
            self._read(), name="exec-client-reader"
        )

    @property
    def pending(self) -> int:
        """Calls that wait for an answer."""
        return len(self._pending)

    async def call(self, method: str, params: bytes | None) -> Any:
        """Send a request and return its result as parsed JSON.

        Cancelling forgets the call; nothing is sent about it.

        Raises:
            RpcError: The executor refused.
            GenerationLost: The connection is over.
        """
        # No await between the check and the registration: a call that registered is seen by
        # the drain at the end, one that did not is refused here.
        if self.lost:
            raise GenerationLost(sent=False)
        request_id = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        trace = self._options.trace(method) if self._options.trace else None
        try:
            await self._send(encode_request(request_id, method, params, trace))
            return await future
        finally:
            self._pending.pop(request_id, None)

    async def notify(self, method: str, params: bytes | None) -> None:
        """Send a notification.

        Raises:
            GenerationLost: The connection is over.
        """
        if self.lost:
            raise GenerationLost(sent=False)
        await self._send(encode_notification(method, params))

    async def _send(self, message: bytes) -> None:
        try:
            await self._websocket.send(message)
        except ConnectionError as error:
            raise GenerationLost(sent=True) from error

    async def _read(self) -> None:
        reason = ""
        try:
            async for data in self._websocket.messages():
                await self._handle(data)
                await self._may_read(self)
            reason = self._websocket.reason
        except (ProtocolError, ValueError, GenerationLost) as error:
            logger.warning("the executor broke the protocol: %s", type(error).__name__)
        finally:
            self._end(f"{DISCONNECTED}: {reason}" if reason else DISCONNECTED)

    async def _handle(self, data: str | bytes) -> None:
        message = self._decode(data)
        if isinstance(message, Notification):
            self._on_notification(message)
        elif isinstance(message, Response):
            future = self._pending.get(message.id)
            if future is not None and not future.done():
                future.set_result(message.result)
        elif isinstance(message, ErrorResponse):
            future = self._pending.get(message.id)
            if future is not None and not future.done():
                future.set_exception(message.error.to_exception())
        elif isinstance(message, Request):
            error = ErrorData(METHOD_NOT_FOUND, "this client answers no requests")
            await self._send(encode_error(message.id, error))
        else:  # pragma: no cover - the decoder knows four kinds
            raise MalformedMessageError("unknown kind of message")

    @staticmethod
    def _decode(data: str | bytes) -> Message:
        """Decode a message; the payload of a large output goes around the JSON parser."""
        split = split_process_output(data) if isinstance(data, bytes) else None
        if split is None:
            return decode(data)
        head, payload = split
        message = decode(head)
        if isinstance(message, Notification) and isinstance(message.params, dict):
            message.params["chunk"] = payload
        return message

    def _end(self, reason: str) -> None:
        if self.lost:
            return
        self.lost = True
        for future in self._pending.values():
            if not future.done():
                future.set_exception(GenerationLost(sent=True))
        self._websocket.abort()
        self._on_lost(self, reason)

    def abort(self, reason: str = DISCONNECTED) -> None:
        """Drop the connection; whatever waits for an answer learns of it."""
        self._end(reason)
        self._reader.cancel()

    async def close(self) -> None:
        """End the connection politely and wait for the reader."""
        self.lost = True
        await self._websocket.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])
        for future in self._pending.values():
            if not future.done():
                future.set_exception(GenerationLost(sent=True))

    async def wait_ended(self) -> None:
        """Wait until the reader has ended after ``abort``."""
        await asyncio.wait([self._reader])
