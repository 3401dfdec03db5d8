"""One connection: ids, answers, the reader, and the order in which its end becomes known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from exec_client.connection.generation import MAX_PENDING_CALLS, Generation, GenerationLost
from exec_client.connection.read_budget import ReadBudget
from exec_client.connection.websocket import NotSentError
from exec_client.options import ClientOptions
from exec_client.process.events import parse_event
from exec_client.process.output import OutputStream
from exec_server_protocol.errors import InvalidRequestError
from exec_server_protocol.rpc import Notification, Trace
from exec_testkit.memory_socket import MemorySocket
from exec_testkit.requirements import requirement


@dataclass
class _Peer:
    """The other end, and what the client's side reported."""

    options: ClientOptions = field(default_factory=ClientOptions)
    said: list[dict[str, Any]] = field(default_factory=list)
    notified: list[Notification] = field(default_factory=list)
    lost: list[tuple[bool, int, str]] = field(default_factory=list)
    on_notification: Callable[[Notification], None] | None = None
    budget: ReadBudget = field(default_factory=lambda: ReadBudget(10**6))

    def __post_init__(self) -> None:
        self.socket = MemorySocket(
            lambda data: self.said.append(json.loads(data)), lambda: None, NotSentError
        )
        self.generation = Generation(
            self.socket, self.options, self._notified, self._lost, self.budget
        )

    def _notified(self, message: Notification) -> None:
        self.notified.append(message)
        if self.on_notification is not None:
            self.on_notification(message)

    def _lost(self, generation: Generation, reason: str) -> None:
        undone = [f for f in generation._pending.values() if not f.done()]
        self.lost.append((generation.lost, len(undone), reason))

    def answer(self, request_id: int, result: object) -> None:
        self.socket.deliver(json.dumps({"id": request_id, "result": result}).encode())

    def call(self, method: str) -> asyncio.Task[Any]:
        return asyncio.ensure_future(self.generation.call(method, None))


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@requirement("CLIENT-INV-20")
async def test_an_answer_that_came_before_the_end_is_delivered() -> None:
    peer = _Peer()
    first, second = peer.call("a"), peer.call("b")
    await _settle()
    peer.answer(1, "just in time")
    peer.socket.cut()
    assert await first == "just in time"
    with pytest.raises(GenerationLost) as caught:
        await second
    assert caught.value.sent


@requirement("CLIENT-INV-20", "CLIENT-R14")
async def test_what_came_before_the_end_is_read_also_when_the_reader_was_held_back() -> None:
    budget = ReadBudget(1)
    unread = OutputStream(budget)
    unread.feed(b"x")
    await unread.read(1)
    unread.feed(b"x" * 100)
    peer = _Peer(budget=budget)
    call = peer.call("a")
    await _settle()
    peer.socket.deliver(b'{"method":"x"}')
    peer.answer(1, "late")
    await _settle()
    peer.socket.cut()
    with pytest.raises(GenerationLost) as caught:
        await peer.generation.call("b", None)
    assert not caught.value.sent
    assert peer.lost == []
    await unread.read(100)
    assert await call == "late"
    await peer.generation.wait_ended()
    assert len(peer.lost) == 1
    assert peer.said == [{"id": 1, "method": "a"}]


@requirement("CLIENT-INV-02")
async def test_events_that_arrived_before_the_connection_was_dropped_here_are_still_taken() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    for number in range(50):
        peer.socket.deliver(b'{"method":"%d"}' % number)
    peer.answer(1, "too late")
    peer.generation.abort()
    with pytest.raises(GenerationLost):
        await call
    await peer.generation.wait_ended()
    assert [message.method for message in peer.notified] == [str(n) for n in range(50)]
    assert len(peer.lost) == 1


@requirement("CLIENT-R07", "CLIENT-INV-16")
async def test_the_end_is_marked_before_anybody_is_told() -> None:
    peer = _Peer()
    calls = [peer.call("x") for _ in range(5)]
    await _settle()
    peer.socket.reason = "moving house"
    peer.socket.cut()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, GenerationLost) for result in results)
    assert peer.lost == [(True, 0, "exec-server transport disconnected: moving house")]
    assert peer.generation.pending == 0
    peer.generation.abort()
    await peer.generation.wait_ended()
    assert len(peer.lost) == 1


@requirement("CLIENT-INV-22")
async def test_a_cancelled_call_leaves_no_entry_and_its_late_answer_changes_nothing() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    call.cancel()
    await asyncio.wait([call])
    assert peer.generation.pending == 0
    peer.answer(1, "late")
    peer.answer(99, "never asked")
    other = peer.call("b")
    await _settle()
    peer.answer(2, "mine")
    assert await other == "mine"


@requirement("CLIENT-INV-22")
async def test_calls_beyond_the_limit_wait_for_their_turn_but_cleaning_up_does_not() -> None:
    peer = _Peer()
    calls = [peer.call("x") for _ in range(MAX_PENDING_CALLS + 10)]
    await _settle()
    assert len(peer.said) == MAX_PENDING_CALLS
    ending = peer.call("process/terminate")
    await _settle()
    assert peer.said[-1]["method"] == "process/terminate"
    peer.answer(MAX_PENDING_CALLS + 1, {})
    assert await ending == {}
    calls[0].cancel()
    await _settle()
    assert len(peer.said) == MAX_PENDING_CALLS + 2
    peer.socket.cut()
    await asyncio.gather(*calls, return_exceptions=True)
    waiting = [c.exception() for c in calls[-5:]]
    assert [isinstance(e, GenerationLost) and e.sent for e in waiting] == [False] * 5
    assert peer.generation.pending == 0


async def test_an_error_answer_is_raised_by_its_code() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    peer.socket.deliver(b'{"error":{"code":-32600,"message":"no such thing"},"id":1}')
    with pytest.raises(InvalidRequestError, match="no such thing"):
        await call


@requirement("CLIENT-R16")
async def test_an_error_answer_that_says_the_link_is_gone_is_a_lost_link() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    text = b'{"error":{"code":-32000,"message":"JSON-RPC transport closed"},"id":1}'
    peer.socket.deliver(text)
    with pytest.raises(GenerationLost):
        await call


@requirement("CLIENT-R15", "CLIENT-INV-28")
async def test_an_event_that_makes_no_sense_ends_the_connection_with_a_reason() -> None:
    peer = _Peer(on_notification=lambda message: _parse(message))
    call = peer.call("a")
    await _settle()
    peer.socket.deliver(b'{"method":"process/output","params":{"processId":"p","seq":1}}')
    with pytest.raises(GenerationLost):
        await call
    assert peer.lost[0][2].startswith("exec-server notification handling failed: process/output")


def _parse(message: Notification) -> None:
    parse_event(message.method, message.params)


@requirement("CLIENT-INV-28")
async def test_requests_of_the_executor_are_refused_without_stopping_the_reader() -> None:
    peer = _Peer()
    peer.socket.deliver(b'{"id":7,"method":"network/policyRequest","params":{}}')
    call = peer.call("a")
    await _settle()
    refusal = next(message for message in peer.said if "error" in message)
    assert (refusal["id"], refusal["error"]["code"]) == (7, -32601)
    peer.answer(1, "still here")
    assert await call == "still here"


async def test_a_trace_is_sent_with_each_request_and_a_failing_hook_leaves_nothing() -> None:
    def hook(method: str) -> Trace | None:
        if method == "bad":
            raise LookupError(method)
        return Trace("00-1-2-01") if method == "traced" else None

    peer = _Peer(ClientOptions(trace=hook))
    calls = [peer.call(method) for method in ("traced", "plain")]
    await _settle()
    with pytest.raises(LookupError):
        await peer.generation.call("bad", None)
    assert peer.generation.pending == 2
    assert [m.get("trace") for m in peer.said] == [{"traceparent": "00-1-2-01"}, None]
    peer.socket.cut()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_an_answer_of_half_a_million_values_is_taken() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    peer.answer(1, [0] * 500_000)
    assert len(await call) == 500_000


@requirement("CLIENT-INV-22")
async def test_closing_is_no_loss_and_releases_who_waits() -> None:
    peer = _Peer()
    call = peer.call("a")
    await _settle()
    await peer.generation.close()
    with pytest.raises(GenerationLost):
        await call
    assert peer.lost == []
