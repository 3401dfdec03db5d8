"""No order of events leaves an endpoint and a peer that does its part waiting for each other.

The endpoint and the connection are the real ones; the socket between them and the peer holds
little and moves bytes when it is told to. No timer may be needed for anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from exec_server.access.authorization import Owner
from exec_server.access.gate import Gate
from exec_server.access.settings import AccessSettings
from exec_server.config import Limits, ServerConfig
from exec_server.rpc.connection import Connection
from exec_server.rpc.states import ConnectionState
from exec_server.runtime.direct_future import DirectFuture
from exec_server.session.registry import SessionRegistry
from exec_server.transport.admission import Admission
from exec_server.transport.inbound_budget import InboundBudget
from exec_server.transport.message_sink import MessageSink
from exec_server.transport.waiting_room import WaitingRoom
from exec_server.transport.websocket import Endpoint
from exec_testkit.virtual_time import run
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

KIB = 1024
_SOCKET_BYTES = 64 * KIB
_LIMITS = Limits(
    outbound_bytes=64 * KIB,
    in_flight_bytes=200 * KIB,
    waiting_request_bytes=100 * KIB,
    parked_requests=3,
)
_OUTPUT = b'{"method":"output","params":"%b"}' % (b"x" * 60 * KIB)
_ANSWER = b'"%b"' % (b"y" * 50 * KIB)


class Wire(asyncio.Transport):
    """The server's end of a socket that takes ``_SOCKET_BYTES`` and moves nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoint: Endpoint | None = None
        self.unsent = bytearray()
        self.socket = bytearray()
        self.reading = True
        self.closing = False
        self.full = False
        self.high = self.low = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high, self.low = high or 0, low or 0

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += data
        self._fill()

    def carry(self, size: int) -> bytes:
        """Take up to ``size`` bytes out of the socket, at the peer's end."""
        taken = bytes(self.socket[:size])
        del self.socket[:size]
        self._fill()
        return taken

    def _fill(self) -> None:
        room = _SOCKET_BYTES - len(self.socket)
        self.socket += self.unsent[:room]
        del self.unsent[:room]
        assert self.endpoint is not None
        if len(self.unsent) > self.high and not self.full:
            self.full = True
            self.endpoint.pause_writing()
        elif len(self.unsent) <= self.low and self.full:
            self.full = False
            self.endpoint.resume_writing()

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Others:
    """Connections that have used up the budget, and will not give it back."""

    def pause(self) -> None:
        """Nothing is coming in."""

    def resume(self) -> None:
        """Nothing is coming in."""

    def preferred(self) -> None:
        raise AssertionError("nothing of it is unfinished")


class World:
    """A server with one child, and a client that sends requests and reads what comes.

    The child writes a piece of output, then it reads a line of input: so a request that is
    input is answered only once output before it was taken.
    """

    def __init__(self, *, outputs: int, budget_is_used_up: bool, limits: Limits = _LIMITS) -> None:
        self.outputs_left = outputs
        self.outputs_arrived = 0
        self.sent: set[int] = set()
        self.answered: set[int] = set()
        self.input: deque[DirectFuture] = deque()
        self.pump_waits = False
        budget = InboundBudget(256 * KIB)
        if budget_is_used_up:
            budget.update(Others(), 0, 10**9)
        handlers: Mapping[str, Any] = {
            "environment/status": lambda _connection, _params: _ANSWER,
            "environment/info": self._take_input,
        }
        registry = SessionRegistry(ServerConfig())
        connections: list[Connection] = []

        def accept(endpoint: Endpoint, owner: Owner) -> Connection:
            connections.append(Connection(endpoint, owner, registry, handlers, limits))
            connections[0].state = ConnectionState.READY
            return connections[0]

        admission: Admission[Endpoint, MessageSink] = Admission(
            limits, Gate(AccessSettings()), accept, WaitingRoom(8)
        )
        self.wire = Wire()
        self.endpoint = self.wire.endpoint = Endpoint(limits, 1000.0, 0.0, admission, budget, None)
        self.endpoint.connection_made(self.wire)
        self.client = ClientProtocol(parse_uri("ws://executor/"))
        self.client.send_request(self.client.connect())
        self.upstream = bytearray()
        self._collect()
        while not connections:
            self.carry_up(10 * KIB)
            self.carry_down(10 * KIB)

    def _take_input(self, _connection: Connection, _params: object) -> DirectFuture:
        later = DirectFuture()
        self.input.append(later)
        return later

    def _collect(self) -> None:
        for data in self.client.data_to_send():
            self.upstream += data

    def carry_down(self, size: int) -> bool:
        """Let the client read; returns whether there was anything."""
        data = self.wire.carry(size)
        if data:
            self.client.receive_data(data)
            for event in self.client.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    self._receive(bytes(event.data))
                elif isinstance(event, Frame):
                    assert event.opcode is Opcode.PING
            self._collect()
        return bool(data)

    def _receive(self, message: bytes) -> None:
        if message == _OUTPUT:
            self.outputs_arrived += 1
        else:
            self.answered.add(
                int(message[message.index(b'"id":') + 5 :].split(b",")[0].rstrip(b"}"))
            )

    def carry_up(self, size: int) -> bool:
        """Let the server read, if it does; returns whether it did."""
        if not self.wire.reading or not self.upstream:
            return False
        data = bytes(self.upstream[:size])
        del self.upstream[:size]
        self.endpoint.data_received(data)
        return True

    def request(self, method: str, size: int) -> bool:
        number = len(self.sent) + 1
        self.sent.add(number)
        text = b'{"id":%d,"method":"%b","pad":"%b"}' % (number, method.encode(), b"z" * size)
        self.client.send_text(text)
        self._collect()
        return True

    def produce(self) -> bool:
        """Let the child and its pump make a step; returns whether they could."""
        if self.outputs_left == 0:
            if not self.input:
                return False
        elif self.pump_waits:
            return False
        elif self.endpoint.full:
            self.pump_waits = True
            self.endpoint.when_drained(self._room)
            return True
        else:
            self.outputs_left -= 1
            self.endpoint.send(_OUTPUT)
        if self.input:
            self.input.popleft().set_result(b"{}")
        return True

    def _room(self) -> None:
        self.pump_waits = False

    async def finish(self, outputs: int) -> None:
        """Go on until nobody can, then everything must be done."""
        steps: list[Callable[[], bool]] = [
            self.produce,
            lambda: self.carry_down(16 * KIB),
            lambda: self.carry_up(16 * KIB),
        ]
        idle = 0
        while idle < 4:  # callbacks of the loop may bring something
            moved = [step() for step in steps]
            idle = 0 if any(moved) else idle + 1
            await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() == 0, "a timer was waited for"
        assert self.answered == self.sent
        assert self.outputs_arrived == outputs
        assert not self.endpoint.full
        assert self.wire.reading
        self.endpoint.abort()
        self.endpoint.connection_lost(None)


_SIZES = st.sampled_from([0, 3 * KIB, 40 * KIB, 300 * KIB])
_STEPS = st.one_of(
    st.tuples(st.just("produce"), st.just(0)),
    st.tuples(st.sampled_from(["down", "up"]), st.sampled_from([100, 10 * KIB, 250 * KIB])),
    st.tuples(st.sampled_from(["environment/status", "environment/info"]), _SIZES),
)


@given(st.lists(_STEPS, max_size=40), st.integers(0, 20), st.booleans())
def test_whatever_the_order_everything_is_answered_and_arrives(
    steps: list[tuple[str, int]], outputs: int, budget_is_used_up: bool
) -> None:
    async def go() -> None:
        world = World(outputs=outputs, budget_is_used_up=budget_is_used_up)
        for step, size in steps:
            if step == "produce":
                world.produce()
            elif step == "down":
                world.carry_down(size)
            elif step == "up":
                world.carry_up(size)
            else:
                world.request(step, size)
            await asyncio.sleep(0)
        await world.finish(outputs)

    run(go())


def test_a_pong_behind_requests_that_have_to_wait_opens_the_window() -> None:
    async def go() -> None:
        world = World(outputs=20, budget_is_used_up=False)
        while not world.pump_waits:
            world.produce()
        for _ in range(6):  # more than may be parked; the pongs will be behind them
            world.request("environment/info", 3 * KIB)
        while world.carry_up(16 * KIB):
            pass
        await world.finish(20)

    run(go())


def test_the_window_opens_although_the_pong_cannot_be_read() -> None:
    async def go() -> None:
        world = World(outputs=40, budget_is_used_up=True)
        for _ in range(12):
            world.request("environment/info", 300 * KIB)
        while world.carry_up(16 * KIB):
            pass
        assert not world.wire.reading  # and behind it will be the pongs
        await world.finish(40)

    run(go())


def test_requests_without_end_that_cannot_be_answered_are_not_read_for_ever() -> None:
    async def go() -> None:
        world = World(outputs=0, budget_is_used_up=False)
        for _ in range(400):
            world.request("environment/status", 2 * KIB)
        while world.carry_up(16 * KIB):  # and nothing is read by the client
            pass
        assert not world.wire.reading
        taken = 400 * 2 * KIB - len(world.upstream)
        assert taken < _LIMITS.waiting_request_bytes + 16 * KIB + _SOCKET_BYTES
        await world.finish(0)

    run(go())
