"""What gives way in a full table."""

from __future__ import annotations

from exec_server.process.giving_way import LOOKS_AT_MOST, GivingWay
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule


def _anybody(_entry: int) -> bool:
    return True


def test_what_has_arrived_gives_way_before_what_is_older() -> None:
    line = GivingWay[int]()
    line.add(1, arrived=False)
    line.add(2, arrived=True)
    assert line.pick(_anybody) == 2
    line.discard(2)
    assert line.pick(_anybody) == 1


def test_who_may_not_go_is_passed_over_and_asked_again_later() -> None:
    line = GivingWay[int]()
    for entry in (1, 2, 3):
        line.add(entry, arrived=False)
    assert line.pick(lambda entry: entry != 1) == 2
    line.discard(2)
    assert line.pick(_anybody) == 3
    line.discard(3)
    assert line.pick(_anybody) == 1


def test_a_newcomer_costs_a_few_looks_and_everybody_is_looked_at_in_the_end() -> None:
    line = GivingWay[int]()
    entries = range(10 * LOOKS_AT_MOST)
    for entry in entries:
        line.add(entry, arrived=False)
    looked_at: list[int] = []

    def may_go(entry: int) -> bool:
        looked_at.append(entry)
        return False

    for _ in range(10):
        before = len(looked_at)
        assert line.pick(may_go) is None
        assert len(looked_at) - before <= LOOKS_AT_MOST
    assert set(looked_at) == set(entries)


class _Lines(RuleBasedStateMachine):
    """Against two plain lists, searched from the front."""

    def __init__(self) -> None:
        super().__init__()
        self.line = GivingWay[int]()
        self.arrived_ones: list[int] = []
        self.finished_ones: list[int] = []
        self.next = 0

    @rule(arrived=st.booleans())
    def finish(self, arrived: bool) -> None:
        self.line.add(self.next, arrived=arrived)
        (self.arrived_ones if arrived else self.finished_ones).append(self.next)
        self.next += 1

    @precondition(lambda self: self.next)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        entry = data.draw(st.integers(0, self.next))
        self.line.arrived(entry)
        if entry in self.finished_ones:
            self.finished_ones.remove(entry)
            self.arrived_ones.append(entry)

    @precondition(lambda self: self.next)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        entry = data.draw(st.integers(0, self.next))
        self.line.discard(entry)
        for entries in (self.arrived_ones, self.finished_ones):
            if entry in entries:
                entries.remove(entry)

    @rule()
    def give_way(self) -> None:
        oldest = next(iter([*self.arrived_ones, *self.finished_ones]), None)
        assert self.line.pick(_anybody) == oldest

    @invariant()
    def counts(self) -> None:
        assert len(self.line) == len(self.arrived_ones) + len(self.finished_ones)
        assert self.line.all_arrived == (not self.finished_ones)


TestLines = _Lines.TestCase
TestLines.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
