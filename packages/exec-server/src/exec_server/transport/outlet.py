"""A connection's way out: what may be sent now, and callbacks for when more may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from websockets.protocol import State
from websockets.server import ServerProtocol

from ..config import Limits
from .delivery_watch import DeliveryWatch
from .outbox import Outbox
from .socket_options import unacknowledged_bytes
from .waits import may_answer, may_produce

__all__ = ["Outlet"]


def _nothing() -> None:
    pass


def _yes() -> bool:
    return True


class Outlet:
    """Sends messages, and holds back who makes them; see ``waits``.

    Args:
        limits: How much may be unsent, and how much in flight.
        protocol: Makes frames.
        flush: Sends the frames that the protocol has made.
        is_read: Whether what the peer sends is read, pongs included.
        on_answering: Called when answers can leave again.
    """

    def __init__(
        self,
        limits: Limits,
        protocol: ServerProtocol,
        flush: Callable[[], None],
        is_read: Callable[[], bool],
        on_answering: Callable[[], None],
    ) -> None:
        self._held_limit = limits.outbound_bytes
        self._protocol = protocol
        self._flush = flush
        self._is_read = is_read
        self._on_answering = on_answering
        self._transport: asyncio.Transport | None = None
        self._socket_full = False
        self._closed = False
        self._flow = DeliveryWatch(limits.in_flight_bytes, self._unsent_bytes, self.look)
        self._window = self._flow.window
        self._outbox = Outbox(protocol, self._window, flush)
        self._slice_waits = False
        self._uncongested = _Waiting()
        self._answering = _Waiting()
        self._producing = _Waiting()

    def open(self, transport: asyncio.Transport) -> None:
        """Send over ``transport`` from now on."""
        transport.set_write_buffer_limits(high=self._held_limit, low=self._held_limit // 4)
        self._transport = transport

    # ------------------------------------------------------------------ what may be done

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that the next piece of a message should wait."""
        return self._socket_full

    @property
    def answering(self) -> bool:
        """Whether an answer can leave."""
        held = self._outbox.held_bytes >= self._held_limit
        return may_answer(socket_full=self._socket_full, answers_held=held)

    @property
    def full(self) -> bool:
        """Whether producers of notifications should wait."""
        return not may_produce(
            answering=self.answering,
            window_full=self._window.full,
            reading=self._is_read(),
        )

    def when_uncongested(self, callback: Callable[[], None]) -> None:
        """Call back once the socket takes more, or when the connection has ended."""
        self._uncongested.add(callback, now=self._closed or not self._socket_full)

    def when_answering(self, callback: Callable[[], None]) -> None:
        """Call back once answers can leave, or when the connection has ended."""
        self._answering.add(callback, now=self._closed or self.answering)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once producers may go on, or when the connection has ended."""
        self._producing.add(callback, now=self._closed or not self.full)

    # ------------------------------------------------------------------ what is sent

    @property
    def sent(self) -> int:
        """Bytes of messages sent so far."""
        return self._window.sent + self._outbox.held_bytes

    @property
    def arrived(self) -> int:
        """Number of bytes that the peer is known to have."""
        if not self._is_read():
            self._window.assume_arrived(self._unsent_bytes())
        return self._window.arrived

    def send(self, message: bytes) -> None:
        """Queue one message."""
        if self._outbox.send(message):
            self._flow.watch()
        self._flush()

    def ask_arrived(self) -> None:
        """Ask the peer what has arrived, instead of after the next megabyte."""
        if self._protocol.state is State.OPEN:
            self._outbox.ask_arrived()
            self._flush()

    def send_slices(self, parts: Iterator[bytes], size: int) -> None:
        """Queue one message that is made while it is sent; see ``Slices``."""
        self._outbox.send_slices(parts, size)
        self._flush()
        self._go_on_slicing()

    def _go_on_slicing(self) -> None:
        if self._outbox.slicing and not self._slice_waits:
            self._slice_waits = True
            self.when_uncongested(self._send_slice)

    def _send_slice(self) -> None:
        self._slice_waits = False
        if self._closed or self._protocol.state is not State.OPEN:
            return
        was_held = self._outbox.held_bytes
        if self._outbox.send_slice():
            self._flow.watch()
        self._flush()
        self._go_on_slicing()
        if self._outbox.held_bytes < was_held:
            self.look_soon()

    def send_piece(self, piece: bytes, *, last: bool, of: object) -> None:
        """Queue a part of a message; ``of`` says whose, and each has one message at a time."""
        was_held = self._outbox.held_bytes
        if self._outbox.send_piece(piece, last=last, of=of):
            self._flow.watch()
        self._flush()
        self._go_on_slicing()
        if self._outbox.held_bytes < was_held:  # it left behind the last piece
            self.look_soon()

    def _unsent_bytes(self) -> int:
        """Bytes that the peer's system has not acknowledged."""
        transport = self._transport
        if transport is None or self._closed:
            return 0
        sock = transport.get_extra_info("socket")
        return transport.get_write_buffer_size() + unacknowledged_bytes(sock)

    # ------------------------------------------------------------------ what changes it

    def pause(self) -> None:
        """The transport holds more than it should."""
        self._socket_full = True

    def resume(self) -> None:
        """The transport has room again."""
        self._socket_full = False
        self.look()

    def pong(self, payload: bytes) -> bool:
        """Take a pong. Returns whether more is known to have arrived."""
        moved = self._window.pong(payload)
        if moved:
            self._flow.look()
        return moved

    def look_soon(self) -> None:
        """Tell everybody who may go on, outside of whatever is being done now."""
        asyncio.get_running_loop().call_soon(self.look)

    def look(self) -> None:
        """Tell everybody who may go on now."""
        if self._closed or not self._socket_full:
            self._uncongested.call()
        if self._closed or self.answering:
            if not self._closed:
                self._on_answering()
            self._answering.call()
        if self._closed or not self.full:
            self._producing.call()

    def close(self) -> None:
        """Send nothing any more; callbacks that wait are called."""
        self._closed = True
        self._flow.close()
        self._outbox.clear()
        self.look()
        self._flush = self._on_answering = _nothing  # they refer to what refers to this
        self._is_read = _yes


class _Waiting:
    """Callbacks that wait for the same thing."""

    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def add(self, callback: Callable[[], None], *, now: bool) -> None:
        """Call back later, in the next turn of the loop if there is nothing to wait for."""
        if now:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._callbacks.append(callback)

    def call(self) -> None:
        """Call back; who has to wait again comes back."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
