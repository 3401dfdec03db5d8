"""Unfinished messages of all connections share a number of bytes."""

from __future__ import annotations

from exec_server.transport.inbound_budget import InboundBudget
from hypothesis import given
from hypothesis import strategies as st

KIB = 1024
MIB = 1024 * KIB


class Flow:
    """A connection that does what the budget says."""

    def __init__(self, budget: InboundBudget) -> None:
        self.budget = budget
        self.held = 0
        self.reading = True
        self.favours = 0

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def preferred(self) -> None:
        self.favours += 1

    def receive(self, size: int) -> None:
        self.held += size
        self.budget.update(self, self.held)

    def finish(self) -> None:
        self.held = 0
        self.budget.update(self, 0)


def test_below_the_limit_everybody_is_read() -> None:
    budget = InboundBudget(10 * MIB)
    flows = [Flow(budget) for _ in range(10)]
    for flow in flows:
        flow.receive(MIB)
    assert all(flow.reading for flow in flows)
    assert budget.total == 10 * MIB


def test_above_it_one_large_message_goes_on_and_the_next_when_it_is_finished() -> None:
    budget = InboundBudget(3 * MIB)
    first, second, third, small = (Flow(budget) for _ in range(4))
    for flow in (first, second, third):
        flow.receive(2 * MIB)
    assert [flow.reading for flow in (first, second, third)] == [True, True, False]
    first.receive(MIB)
    assert [flow.reading for flow in (first, second, third)] == [False, True, False]
    assert budget.is_held_up_by(second)
    small.receive(100)
    assert small.reading
    second.receive(20 * MIB)
    assert second.reading
    second.finish()
    assert (first.reading, third.reading) == (False, True)
    third.finish()
    assert first.reading
    assert not budget.is_held_up_by(first)


def test_who_goes_away_holds_nobody_up() -> None:
    budget = InboundBudget(MIB)
    first, second = Flow(budget), Flow(budget)
    first.receive(2 * MIB)
    second.receive(2 * MIB)
    assert [flow.reading for flow in (first, second)] == [True, False]
    first.finish()
    assert [flow.reading for flow in (first, second)] == [True, True]
    second.finish()
    assert budget.total == 0


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2 * MIB)), max_size=80))
def test_somebody_can_always_go_on(steps: list[tuple[int, int]]) -> None:
    budget = InboundBudget(4 * MIB)
    flows = [Flow(budget) for _ in range(8)]
    for number, size in steps:
        flow = flows[number]
        if size == 0:
            flow.finish()
        elif flow.reading:
            flow.receive(size)
        assert budget.total == sum(other.held for other in flows)
        assert any(other.reading for other in flows)
        if not all(other.reading for other in flows):
            assert budget.total > 4 * MIB
            assert any(budget.is_held_up_by(other) and other.reading for other in flows)
    # Whatever came before: finishing what can be finished, everybody gets their turn.
    for _ in flows:
        for flow in flows:
            if flow.reading:
                flow.finish()
    assert budget.total == 0
    assert all(flow.reading for flow in flows)
