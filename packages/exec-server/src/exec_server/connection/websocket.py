"""The WebSocket skin: the only module that imports ``websockets``.

It drives the library's protocol object, which does no I/O, straight from the event loop's
callbacks. A message is handled in the callback that received its last byte, without a task
or a queue in between: a short request is answered some 30 µs sooner.

Nothing here waits. What cannot be sent at once is buffered by the transport; ``full`` tells
producers to hold back, and the connection stops reading while its own answers pile up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol, cast

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from ..config import Limits
from .flow import FlowWindow
from .sockets import set_keepalive, unacknowledged_bytes
from .upgrade import Refusal, decide

__all__ = ["Endpoint", "MessageSink"]

_CLOSE_SECONDS: Final = 2.0
"""How long a peer may take to answer a close frame before the socket is dropped."""

_FRAGMENT_BYTES: Final = 8 * 1024 * 1024
"""Payload of one frame: real clients refuse frames above 16 MiB."""

_PONG_SECONDS: Final = 5.0
"""How long a full window waits for a pong before the peer is suspected of sending none."""

_quiet = logging.getLogger("exec_server.websocket")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
"""For the library, whose messages quote what a peer sent."""


class MessageSink(Protocol):
    """What takes the messages of an endpoint."""

    def message_received(self, data: str | bytes) -> None:
        """Take one whole message."""

    def drained(self) -> None:
        """There is room again for messages out."""

    def more_arrived(self) -> None:
        """The peer is known to have more of what was sent than before."""

    def connection_lost(self) -> None:
        """No message will come or go any more; called once."""


class Endpoint(asyncio.Protocol):
    """One accepted socket, from its first byte to its last.

    Args:
        limits: Sizes, and the time for the HTTP request.
        ping_interval: Seconds between pings.
        accept: Called when the upgrade is done; returns who takes the messages.
        on_made: Called with this endpoint when the socket is there; a text that it returns
            says why there will be no upgrade.
        on_lost: Called with this endpoint when it is gone.
    """

    def __init__(
        self,
        limits: Limits,
        ping_interval: float,
        accept: Callable[[Endpoint], MessageSink],
        on_made: Callable[[Endpoint], str | None],
        on_lost: Callable[[Endpoint], None],
    ) -> None:
        self._limits = limits
        self._ping_interval = ping_interval
        self._accept = accept
        self._on_made = on_made
        self._on_lost = on_lost
        self._protocol = ServerProtocol(
            max_size=(limits.message_bytes, limits.frame_bytes), logger=_quiet
        )
        self._sink: MessageSink | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: str | None = None
        self._fragments: list[bytes | bytearray | memoryview] = []
        self._fragments_are_text = False
        self._drain_callbacks: list[Callable[[], None]] = []
        self._reading = True
        self._ending = False
        self._transport_full = False
        self._flow = FlowWindow(limits.in_flight_bytes)
        self._flow_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the socket and start the clock for the HTTP request."""
        self._transport = cast("asyncio.Transport", transport)
        high = self._limits.outbound_bytes
        self._transport.set_write_buffer_limits(high=high, low=high // 4)
        set_keepalive(self._transport.get_extra_info("socket"))
        self._refusal = self._on_made(self)
        self._timer = asyncio.get_running_loop().call_later(
            self._limits.handshake_seconds, self._transport.abort
        )

    def data_received(self, data: bytes) -> None:
        """Parse what came and handle the messages that it completes."""
        self._protocol.receive_data(data)
        self._handle_events()
        self._flush()

    def eof_received(self) -> bool:
        """The peer sends nothing more: the connection is over."""
        self._protocol.receive_eof()
        self._handle_events()
        self._end()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._end()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The transport holds more than it should."""
        self._transport_full = True

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._transport_full = False
        if not self.full:
            self._call_drained()

    def _call_drained(self) -> None:
        if self._sink is not None and not self._ending:
            self._sink.drained()
        callbacks, self._drain_callbacks = self._drain_callbacks, []
        for callback in callbacks:
            callback()

    # ------------------------------------------------------------------ in

    def _handle_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._handle_request(event)
            elif isinstance(event, Frame) and not self._ending:
                self._handle_frame(event)
        if self._protocol.state is not State.CONNECTING and (
            self._protocol.state is not State.OPEN or self._protocol.parser_exc is not None
        ):
            self._end()

    def _handle_request(self, request: Request) -> None:
        refusal = decide(request.method, request.path, has_origin="Origin" in request.headers)
        if refusal is None and self._refusal is not None:
            refusal = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, self._refusal)
        response = (
            self._protocol.accept(request) if refusal is None else self._refuse(refusal, request)
        )
        self._protocol.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._schedule_ping()
        self._sink = self._accept(self)

    def _refuse(self, refusal: Refusal, request: Request) -> Response:
        response = self._protocol.reject(refusal.status, refusal.text)
        for name, value in refusal.headers.items():
            response.headers[name] = value
        if request.method == "HEAD":
            response.body = b""
        return response

    def _handle_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._deliver(frame.data, is_text)
            else:
                self._fragments = [frame.data]
                self._fragments_are_text = is_text
        elif frame.opcode is Opcode.CONT:
            self._fragments.append(frame.data)
            if frame.fin:
                data, self._fragments = b"".join(self._fragments), []
                self._deliver(data, self._fragments_are_text)
        elif frame.opcode is Opcode.PONG and self._flow.pong(bytes(frame.data)):
            if self._sink is not None:
                self._sink.more_arrived()
            self._look_at_flow()

    def _deliver(self, data: bytes | bytearray | memoryview, is_text: bool) -> None:
        if self._sink is None:
            return
        if not is_text:
            self._sink.message_received(bytes(data))
            return
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_DATA, "text frames hold UTF-8")
        else:
            self._sink.message_received(text)

    def pause_reading(self) -> None:
        """Take nothing more from the socket until ``resume_reading``."""
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the socket again."""
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    # ------------------------------------------------------------------ out

    @property
    def peer(self) -> str:
        """Address of the peer, for messages."""
        if self._transport is None:
            return "unknown"
        name = self._transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unknown"

    @property
    def full(self) -> bool:
        """Whether so much is unsent, or in flight, that producers should wait."""
        return self._transport_full or self._flow.full

    @property
    def sent(self) -> int:
        """Bytes of messages sent so far."""
        return self._flow.sent

    @property
    def arrived(self) -> int:
        """How many of them the peer is known to have."""
        return self._flow.arrived

    def send(self, message: bytes) -> None:
        """Queue one message; a connection that is ending drops it."""
        if self._ending or self._protocol.state is not State.OPEN:
            return
        if len(message) <= _FRAGMENT_BYTES:
            self._protocol.send_text(message)
        else:
            self._send_fragments(message)
        watermark = self._flow.count(len(message))
        if watermark is not None:
            self._protocol.send_ping(watermark)
            self._look_at_flow()
        self._flush()

    def _send_fragments(self, message: bytes) -> None:
        view = memoryview(message)
        self._protocol.send_text(view[:_FRAGMENT_BYTES], fin=False)
        last = (len(message) - 1) // _FRAGMENT_BYTES * _FRAGMENT_BYTES
        for start in range(_FRAGMENT_BYTES, last, _FRAGMENT_BYTES):
            self._protocol.send_continuation(view[start : start + _FRAGMENT_BYTES], fin=False)
        self._protocol.send_continuation(view[last:], fin=True)

    def _look_at_flow(self) -> None:
        """Note when the window filled, or tell the producers that it has room again."""
        if self._flow.full:
            if self._flow_timer is None:
                self._flow_timer = asyncio.get_running_loop().call_later(
                    _PONG_SECONDS, self._doubt_pongs, self._flow.arrived
                )
            return
        if self._flow_timer is not None:
            self._flow_timer.cancel()
            self._flow_timer = None
        if not self._transport_full:
            self._call_drained()

    def _doubt_pongs(self, arrived: int) -> None:
        # A peer that reads but answers no ping breaks the rules of WebSocket. It shall not
        # stand still for that: what its system has acknowledged counts as arrived.
        self._flow_timer = None
        transport = self._transport
        if transport is None or self._ending:
            return
        unsent = transport.get_write_buffer_size() or unacknowledged_bytes(
            transport.get_extra_info("socket")
        )
        if self._flow.arrived == arrived and not unsent:
            self._flow.assume_arrived()
        self._look_at_flow()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once there is room, or when the connection has ended."""
        if self._ending or not self.full:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._drain_callbacks.append(callback)

    def _schedule_ping(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._ping_interval, self._ping)

    def _ping(self) -> None:
        # A missing pong means nothing: the peer may only be busy. The ping keeps state alive
        # in whatever routes the connection.
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()
            self._schedule_ping()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._protocol.data_to_send():
            if transport.is_closing():
                return
            if data:
                transport.write(data)
            else:
                self._finish()

    # ------------------------------------------------------------------ end

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and end the connection.

        Args:
            code: One of RFC 6455, section 7.4.
            reason: At most 123 bytes of UTF-8.
        """
        if self._protocol.state is State.OPEN:
            try:
                self._protocol.send_close(code, reason)
            except ProtocolError:
                self._protocol.fail(code)
            self._end()
            self._flush()
        self._finish()

    def abort(self) -> None:
        """Drop the socket, whatever is still unsent."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        """Neither take nor give messages from now on."""
        if self._ending:
            return
        self._ending = True
        if self._sink is not None:
            self._sink.connection_lost()
        self._fragments.clear()
        if self._flow_timer is not None:
            self._flow_timer.cancel()
            self._flow_timer = None
        self._call_drained()

    def _finish(self) -> None:
        """Close our half, and the socket when the peer has closed its own or takes too long.

        Closing at once would turn bytes that are still on their way in into a reset, which
        can overtake the close frame.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, transport.abort)
        if self._protocol.state is State.CLOSED or self._protocol.close_rcvd is not None:
            transport.close()
        else:
            self.resume_reading()
            transport.write_eof()
