"""A model of a server, a client and the two pipes between them: who waits for whom.

Every state that can be reached is visited, with the rules that the real ones decide by. In
each of them somebody can go on until everything has arrived, and no timer is among those who
can. Each step takes something further on its way, so there is no going round in circles.

One unit is a mebibyte of output, a request, an answer, a ping or a pong. Everything holds two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
from exec_client.connection.read_budget import ABANDONED_SECONDS, HARD_FACTOR, ReadBudget
from exec_server.transport.delivery_window import DeliveryWindow
from exec_server.transport.waits import may_answer, may_handle, may_produce, may_read

MIB = 1024 * 1024
_HOLDS = 2
"""What a pipe holds, what may be unsent, in flight, or waiting to be handled."""

OUTPUT, ANSWER, PING, PONG, ASK, FEED = "output", "answer", "ping", "pong", "ask", "feed"
"""What travels. ``ASK`` is a request that can be answered at once, ``FEED`` is input for a
child, which reads a line only after it has written something."""

Item = tuple[str, int]


@dataclass(frozen=True)
class State:
    """Everything that can be told apart."""

    # the server
    output_left: int
    window: tuple[int, int, int] = (0, 0, 0)
    waiting: tuple[str, ...] = ()
    parked: int = 0
    # the pipes, with what is unsent before them
    down: tuple[Item, ...] = ()
    up: tuple[Item, ...] = ()
    # the client
    to_ask: tuple[str, ...] = ()
    pending: int = 0
    unread: int = 0
    has_read: bool = False


@dataclass(frozen=True)
class Habits:
    """What differs between runs.

    Attributes:
        affordable: Whether the server's budget for what waits has room.
        reads: When the application reads its output: always, after its last answer, or once
            and then after its last answer.
        left: Whether what it has begun to read and then left counts as abandoned.
    """

    affordable: bool
    reads: str
    left: bool = False


class Stream:
    """Unread output, as the client's budget sees it."""

    expendable = False

    def __init__(self, budget: ReadBudget, units: int, read_at: float | None) -> None:
        self._budget = budget
        self.buffered = units * MIB
        self.read_at = read_at
        budget.take(self, self.buffered)

    def drop_oldest(self, size: int) -> None:
        size = -(-size // MIB) * MIB
        self.buffered -= size
        self._budget.give_back(self, size)


def _window(state: State) -> DeliveryWindow:
    window = DeliveryWindow(_HOLDS * MIB)
    window.sent, window.arrived, window._last_mark = state.window
    return window


def _counted(window: DeliveryWindow) -> tuple[int, int, int]:
    return window.sent, window.arrived, window._last_mark


def _send(state: State, kind: str, size: int) -> State:
    """Let the server send a message, and the ping that is due behind it."""
    window = _window(state)
    ping = window.count(size)
    items = ((kind, 0),) if ping is None else ((kind, 0), (PING, window.sent))
    return replace(state, down=state.down + items, window=_counted(window))


def _server_steps(state: State, habits: Habits) -> Iterator[State]:
    reading = may_read(
        affordable=habits.affordable or not state.waiting,
        crowded=len(state.waiting) >= _HOLDS,
    )
    answering = may_answer(socket_full=len(state.down) >= _HOLDS, answers_held=False)
    full = _window(state).full
    if state.output_left:
        if may_produce(answering=answering, window_full=full, reading=reading):
            after = _send(state, OUTPUT, MIB)
            yield _feed(replace(after, output_left=state.output_left - 1))
    elif state.parked:
        yield _feed(state)
    if state.waiting and may_handle(answering=answering, parked_full=state.parked >= _HOLDS):
        kind, rest = state.waiting[0], state.waiting[1:]
        after = replace(state, waiting=rest)
        yield (_send(after, ANSWER, 1) if kind == ASK else replace(after, parked=state.parked + 1))
    if state.up and reading:
        yield _server_takes(replace(state, up=state.up[1:]), *state.up[0])


def _feed(state: State) -> State:
    """Let the child read a line of input, if there is one: its request is answered."""
    if not state.parked:
        return state
    return _send(replace(state, parked=state.parked - 1), ANSWER, 1)


def _server_takes(state: State, kind: str, mark: int) -> State:
    if kind != PONG:
        return replace(state, waiting=(*state.waiting, kind))
    window = _window(state)
    window.pong(b"mark" + mark.to_bytes(8, "big"))
    return replace(state, window=_counted(window))


def _client_steps(state: State, habits: Habits) -> Iterator[State]:
    answered = not state.pending and not state.to_ask
    if state.down:
        unread = _client_reads(state, habits)
        if unread is not None:
            after = replace(state, down=state.down[1:], unread=unread)
            yield _client_takes(after, *state.down[0])
    if state.to_ask and len(state.up) < _HOLDS:
        up = (*state.up, (state.to_ask[0], 0))
        yield replace(state, to_ask=state.to_ask[1:], up=up, pending=state.pending + 1)
    begins = habits.reads == "once" and not state.has_read
    if state.unread and (habits.reads == "always" or answered or begins):
        yield replace(state, unread=state.unread - 1, has_read=True)


def _client_reads(state: State, habits: Habits) -> int | None:
    """What is unread when the client reads its connection; ``None`` when it does not."""
    last = asyncio.get_running_loop().time() - (ABANDONED_SECONDS + 1 if habits.left else 0)
    budget = ReadBudget(MIB)
    stream = Stream(budget, state.unread, last if state.has_read else None)
    with budget.waiting() if state.pending or state.to_ask else nullcontext():
        return stream.buffered // MIB if budget.may_read() else None


def _client_takes(state: State, kind: str, mark: int) -> State:
    if kind == OUTPUT:
        return replace(state, unread=state.unread + 1)
    if kind == ANSWER:
        return replace(state, pending=state.pending - 1)
    return replace(state, up=(*state.up, (PONG, mark)))


def _is_done(state: State) -> bool:
    return not (state.output_left or state.to_ask or state.pending or state.unread or state.down)


def _stuck(habits: Habits, to_ask: tuple[str, ...], output: int) -> tuple[list[State], int]:
    """Visit every state; return those in which nobody can go on, and how many there are."""
    start = State(output_left=output, to_ask=to_ask)
    seen, todo, stuck = {start}, [start], []
    while todo:
        state = todo.pop()
        following = [*_server_steps(state, habits), *_client_steps(state, habits)]
        if not following and not _is_done(state):
            stuck.append(state)
        new = [after for after in following if after not in seen]
        seen.update(new)
        todo.extend(new)
    return stuck, len(seen)


_REQUESTS = pytest.mark.parametrize(
    "to_ask",
    [(ASK,) * 4, (FEED,) * 4, (FEED, FEED, FEED, ASK, ASK)],
    ids=["questions", "input", "both"],
)
_BUDGET = pytest.mark.parametrize(
    "affordable", [True, False], ids=["budget-left", "budget-used-up"]
)
_OUTPUT = 6
"""More than a client keeps while nobody reads it."""


@_REQUESTS
@_BUDGET
@pytest.mark.parametrize("reads", ["always", "last"])
async def test_in_no_state_does_each_side_wait_for_the_other(
    to_ask: tuple[str, ...], reads: str, affordable: bool
) -> None:
    output = _OUTPUT if reads == "last" else _OUTPUT - 2  # fewer states with more to them
    stuck, states = _stuck(Habits(affordable, reads), to_ask, output)
    assert stuck == []
    assert states > 1000  # or nothing has been shown


@_REQUESTS
@_BUDGET
async def test_a_clock_is_needed_only_where_the_application_has_left_what_it_was_reading(
    to_ask: tuple[str, ...], affordable: bool
) -> None:
    stuck, _states = _stuck(Habits(affordable, "once"), to_ask, _OUTPUT)
    assert stuck
    assert all(state.has_read and state.unread > HARD_FACTOR for state in stuck)
    stuck, _states = _stuck(Habits(affordable, "once", left=True), to_ask, _OUTPUT)
    assert stuck == []


async def test_a_window_that_counts_while_nothing_is_read_would_be_such_a_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def produce(*, answering: bool, window_full: bool, reading: bool) -> bool:
        return answering and not window_full

    monkeypatch.setitem(globals(), "may_produce", produce)
    stuck, _states = _stuck(Habits(affordable=False, reads="always"), (FEED,) * 4, _OUTPUT)
    assert stuck
