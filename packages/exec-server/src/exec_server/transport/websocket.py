"""The WebSocket skin. Some of its neighbours know ``websockets`` as well.

It drives the library's protocol object, which does no I/O, straight from the event loop's
callbacks. A message is handled in the callback that received its last byte, without a task
or a queue in between: a short request is answered some 30 µs sooner.

Nothing here waits. What cannot be sent at once is buffered by the transport; who makes it
asks before whether it may, see ``waits``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Final, cast

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from ..config import Limits
from ..errors import forget_frames
from .admission import Admission
from .buffered_reading import SocketReader
from .frame_ends import BEYOND_BYTES, FrameEnds
from .inbound_budget import InboundBudget
from .message_assembly import MessageAssembler
from .message_sink import MessageSink
from .opening_handshake import MAX_REQUEST_BYTES, HandshakeProtocol, answer
from .outlet import Outlet
from .peer_watch import PeerWatch
from .read_gate import ReadGate
from .request_head import UpgradeRequest
from .socket_options import peer_name, prepare_socket
from .tls import TlsFailedError, TlsTransport

__all__ = ["Endpoint"]

_CLOSE_SECONDS: Final = 2.0
"""How long a peer may take to answer a close frame before the socket is dropped."""

_PONG: Final = b"\x8a"
"""What a whole pong of a server begins with."""

_TRY_AGAIN_LATER: Final = 1013
"""IANA's registry of close codes: the server is overloaded."""


class Endpoint(SocketReader):
    """One accepted socket, from its first byte to its last.

    Args:
        limits: Sizes, and the time for the HTTP request.
        ping_interval: Seconds of silence between pings, at most.
        peer_timeout: Seconds of silence after which the peer is gone; 0 for never.
        admission: Who may come in, and what takes the messages then.
        budget: Shared by the connections of a server.
        tls: For ``wss://``.
    """

    def __init__(
        self,
        limits: Limits,
        ping_interval: float,
        peer_timeout: float,
        admission: Admission[Endpoint, MessageSink],
        budget: InboundBudget,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._limits = limits
        self._ping_interval = ping_interval
        self._peer_timeout = peer_timeout
        self._watch: PeerWatch | None = None
        self._admission = admission
        self._budget = budget
        self._tls_context = tls
        self._protocol = HandshakeProtocol(limits.message_bytes, limits.frame_bytes)
        self._sink: MessageSink | None = None
        self._transport: asyncio.Transport | None = None
        self._tls: TlsTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request_bytes = 0
        self._assembler = MessageAssembler()
        self._ends = FrameEnds()
        self._unsent_pong = b""
        self._read_gate: ReadGate | None = None
        self._ending = False
        self._outlet = Outlet(
            limits, self._protocol, self._flush, self.is_read, self._answers_can_leave
        )

    # ------------------------------------------------------------------ asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the socket and start the clock for the HTTP request."""
        self._transport = cast("asyncio.Transport", transport)
        prepare_socket(self._transport.get_extra_info("socket"))
        if self._tls_context is not None:
            self._transport = self._tls = TlsTransport(self._transport, self._tls_context)
        patience = self._limits.contended_message_seconds
        self._outlet.open(self._transport)
        self._read_gate = ReadGate(
            self._transport, self._budget, patience, self._too_slow, self._outlet.look_soon
        )
        self._admission.arrived(self)
        self._timer = asyncio.get_running_loop().call_later(
            self._limits.handshake_seconds, self._transport.abort
        )

    def read_bytes(self) -> int:
        """Let a read bring what is missing of a frame, and a little beyond.

        Behind TLS a record more may come, of 16 KiB.
        """
        return self._ends.left + BEYOND_BYTES

    def data_received(self, data: bytes) -> None:
        """Parse what came and handle the messages that it completes."""
        if self._watch is not None:
            self._watch.heard()
        if self._tls is not None:
            try:
                data = self._tls.decrypt(data)
            except TlsFailedError as error:
                self._tls_failed(error)
                return
        if data:
            self._ends.came(data)
            self._protocol.receive_data(data)
            self._handle_events()
            self._flush()
            self.count_held()
        if self._protocol.state is State.CONNECTING and not self._ending:
            self._request_bytes += len(data)
            if self._request_bytes > MAX_REQUEST_BYTES:
                self.abort()
        if self._tls is not None and self._tls.at_eof:
            self.eof_received()
            self._tls.close()

    def _tls_failed(self, error: TlsFailedError) -> None:
        if self._protocol.state is State.CONNECTING:
            self._admission.turned_away(f"TLS: {error.reason}")
        self._end()
        self._finish()

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
        if self._tls is not None and self._tls.unfinished:
            # Often a client that does not trust our certificate, and does not say so.
            self._admission.turned_away("TLS: the client left in the middle of the handshake")
        self._end()
        self._admission.gone(self)
        self._let_go()

    def _let_go(self) -> None:
        """Refer to nothing that refers back: what came of a message goes now, with the socket."""
        self._sink = self._read_gate = self._watch = None
        self._protocol.reader.discard()
        self._protocol.parser.close()
        if self._protocol.parser_exc is not None:
            forget_frames(self._protocol.parser_exc)

    def pause_writing(self) -> None:
        """The transport holds more than it should."""
        self._outlet.pause()

    def resume_writing(self) -> None:
        """The transport has room again."""
        pong, self._unsent_pong = self._unsent_pong, b""
        if pong and self._transport is not None:
            self._transport.write(pong)
        self._outlet.resume()

    # ------------------------------------------------------------------ in

    def _handle_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, UpgradeRequest):
                self._handle_request(event)
            elif isinstance(event, Frame) and not self._ending:
                self._handle_frame(event)
        if self._protocol.state is not State.CONNECTING and (
            self._protocol.state is not State.OPEN or self._protocol.parser_exc is not None
        ):
            self._end()

    def _handle_request(self, request: UpgradeRequest) -> None:
        response = answer(
            self._protocol, request, lambda headers: self._admission.examine(self, headers)
        )
        self._protocol.send_response(response)
        if self._protocol.state is not State.OPEN:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            self._watch = PeerWatch(self, sock, self._peer_timeout, self._ping_interval)
        self._sink = self._admission.upgraded(self)

    def _handle_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            try:
                message = self._assembler.add(frame)
            except UnicodeDecodeError:
                self.close(CloseCode.INVALID_DATA, "text frames hold UTF-8")
                return
            if message is not None and self._sink is not None:
                self._sink.message_received(message)
        elif frame.opcode is Opcode.PONG:
            moved = self._outlet.pong(bytes(frame.data))
            if moved and self._sink is not None:
                self._sink.more_arrived()

    def initialized(self) -> None:
        """The connection has its session."""
        self._admission.initialized(self)

    def set_crowded(self, *, crowded: bool) -> None:
        """Say whether so many requests wait to be handled that no more should be read."""
        if self._read_gate is not None:
            self._read_gate.set_crowded(crowded=crowded)

    def is_read(self) -> bool:
        """Whether what the peer sends is read."""
        return self._read_gate is None or self._read_gate.reading

    def _answers_can_leave(self) -> None:
        if self._sink is not None:
            self._sink.answers_can_leave()

    def count_held(self) -> None:
        """Tell the budget what is held of messages that are not handled yet."""
        if self._read_gate is not None and not self._ending:
            waiting = self._sink.waiting_bytes if self._sink is not None else 0
            buffered = len(self._protocol.reader.buffer)
            self._read_gate.count(buffered + self._assembler.size, waiting)

    def _too_slow(self) -> None:
        self.close(_TRY_AGAIN_LATER, "others wait for the end of a large message")

    # ------------------------------------------------------------------ out

    @property
    def peer(self) -> str:
        """Address and port of the peer, for messages."""
        name = peer_name(self._transport)
        return f"{name[0]}:{name[1]}" if name else "unknown"

    @property
    def peer_address(self) -> str:
        """IP address of the peer, empty when it is unknown."""
        name = peer_name(self._transport)
        return str(name[0]) if name else ""

    @property
    def full(self) -> bool:
        """Whether so much is unsent, or in flight, that producers should wait."""
        return self._outlet.full

    @property
    def answering(self) -> bool:
        """Whether an answer can leave; notifications may have to wait longer."""
        return self._outlet.answering

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that the next piece of a message should wait."""
        return self._outlet.congested

    @property
    def sent(self) -> int:
        """Bytes of messages sent so far."""
        return self._outlet.sent

    @property
    def arrived(self) -> int:
        """Number of bytes that the peer is known to have."""
        return self._outlet.arrived

    def send(self, message: bytes) -> None:
        """Queue one message; a connection that is ending drops it."""
        if not self._ending and self._protocol.state is State.OPEN:
            self._outlet.send(message)

    def send_slices(self, parts: Iterator[bytes], size: int) -> None:
        """Queue one message that is made while it is sent; see ``Slices``."""
        if not self._ending and self._protocol.state is State.OPEN:
            self._outlet.send_slices(parts, size)

    def ask_arrived(self) -> None:
        """Ask what has arrived: ``arrived`` may be a megabyte behind."""
        self._outlet.ask_arrived()

    def send_piece(self, piece: bytes, *, last: bool, of: object) -> None:
        """Queue a part of a message; ``of`` says whose, and each has one message at a time."""
        if not self._ending and self._protocol.state is State.OPEN:
            self._outlet.send_piece(piece, last=last, of=of)

    def when_uncongested(self, callback: Callable[[], None]) -> None:
        """Call back once the socket takes more, or when the connection has ended."""
        self._outlet.when_uncongested(callback)

    def when_answering(self, callback: Callable[[], None]) -> None:
        """Call back once answers can leave, or when the connection has ended."""
        self._outlet.when_answering(callback)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once producers may go on, or when the connection has ended."""
        self._outlet.when_drained(callback)

    def ping(self) -> None:
        """Send a ping without a watermark: its pong shows only that the peer is there."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._protocol.data_to_send():
            if transport.is_closing():
                return
            if data[:1] == _PONG and self._outlet.congested:
                # Who sends pings and takes no pongs gets the last one only, as RFC 6455 allows.
                self._unsent_pong = data
            elif data:
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
        self._assembler.clear()
        if self._read_gate is not None:
            self._read_gate.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None  # it refers to this
        self._outlet.close()

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
            transport.write_eof()
