"""Ordering and merging: pure, so any order of anything can be tried."""

from __future__ import annotations

import random

import pytest
from exec_client.process.catch_up import CatchUp, CatchUpError, GapError, merge
from exec_client.process.events import ClosedEvent, ExitedEvent, OutputEvent, SequencedEvent
from exec_client.process.ordering import (
    MAX_PENDING_BYTES,
    MAX_PENDING_EVENTS,
    Ordering,
    ReorderLimitError,
)
from exec_testkit.requirements import requirement
from hypothesis import given
from hypothesis import strategies as st


def _run(outputs: int, exit_at: int) -> list[SequencedEvent]:
    """A process: outputs with an exit somewhere among them, and the close at the end."""
    events: list[SequencedEvent] = []
    for seq in range(1, outputs + 2):
        if seq == exit_at:
            events.append(ExitedEvent(seq, 7))
        else:
            events.append(OutputEvent(seq, "stdout", b"%d;" % seq))
    events.append(ClosedEvent(outputs + 2))
    return events


runs = st.integers(0, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n + 1)).map(lambda x: _run(*x))
)


def _answer(events: list[SequencedEvent], upto: int, after: int) -> CatchUp:
    """What an executor answers to a read after ``after`` when ``upto`` events have happened."""
    happened = events[:upto]
    exits = [e for e in happened if isinstance(e, ExitedEvent)]
    return CatchUp(
        chunks=[e for e in happened if isinstance(e, OutputEvent) and e.seq > after],
        next_seq=upto + 1,
        exited=bool(exits),
        exit_code=exits[0].exit_code if exits else None,
        closed=upto == len(events),
    )


@requirement("CLIENT-INV-01", "CLIENT-INV-04", "CLIENT-R11")
@given(runs, st.randoms(use_true_random=False))
def test_any_order_with_repetitions_is_published_in_sequence(
    events: list[SequencedEvent], rng: random.Random
) -> None:
    ordering = Ordering()
    shuffled = [*events, *rng.sample(events, len(events) // 2)]
    rng.shuffle(shuffled)
    published = [event for incoming in shuffled for event in ordering.apply(incoming)]
    assert published == events
    assert ordering.pending == {}


@requirement("CLIENT-INV-01", "CLIENT-INV-03", "CLIENT-INV-05", "CLIENT-R09", "CLIENT-R10")
@given(runs, st.randoms(use_true_random=False))
def test_cuts_and_catch_ups_at_any_point_lose_and_double_nothing(
    events: list[SequencedEvent], rng: random.Random
) -> None:
    ordering = Ordering()
    published: list[SequencedEvent] = []
    happened = 0
    while happened < len(events):
        step = rng.randint(0, len(events) - happened)
        live = events[happened : happened + step]
        happened += step
        delivered = live[: rng.randint(0, len(live))]  # the rest is lost with the connection
        rng.shuffle(delivered)
        for event in delivered:
            published += ordering.apply(event)
        later = [e for e in events[happened : happened + 2] if rng.random() < 0.5]
        for event in later:  # live already, before the catch-up is read
            published += ordering.apply(event)
        happened = max([happened, *(event.seq for event in later)])
        answer = _answer(events, happened, ordering.last)
        before = ordering.last
        published += merge(ordering, answer)
        assert ordering.last >= before
        assert merge(ordering, answer) == []
        for event in rng.sample(events[:happened], happened // 2):
            assert ordering.apply(event) == []
    published += merge(ordering, _answer(events, len(events), ordering.last))
    assert published == events


@requirement("CLIENT-INV-06")
@given(runs, st.integers(1, 30))
def test_a_gap_is_found_and_publishes_nothing(events: list[SequencedEvent], lost: int) -> None:
    answer = _answer(events, len(events), 0)
    kept = [chunk for chunk in answer.chunks if chunk.seq > lost]
    if len(kept) == len(answer.chunks):
        return
    ordering = Ordering()
    with pytest.raises(CatchUpError):
        merge(
            ordering,
            CatchUp(kept, answer.next_seq, answer.exited, answer.exit_code, answer.closed),
        )
    assert (ordering.last, ordering.pending) == (0, {})


def test_a_gap_tells_what_is_missing() -> None:
    ordering = Ordering()
    ordering.apply(OutputEvent(1, "stdout", b"x"))
    answer = CatchUp([OutputEvent(408, "stdout", b"y")], 410, True, 4, True)
    with pytest.raises(GapError, match="no longer retained") as caught:
        merge(ordering, answer)
    assert (caught.value.after_seq, caught.value.oldest_seq) == (1, 408)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (CatchUp([OutputEvent(5, "stdout", b"")], 3), "beyond its own end"),
        (CatchUp([OutputEvent(2, "stdout", b"")], 3, True, 0, True), "conflicts"),
        (CatchUp([], 3, True, None, True), "no exit code"),
        (CatchUp([OutputEvent(1, "stdout", b"")], 2, True, 0), "no number"),
        (CatchUp([], 2**60), "no longer retained"),
    ],
)
def test_answers_that_contradict_themselves(answer: CatchUp, complaint: str) -> None:
    with pytest.raises(CatchUpError, match=complaint):
        merge(Ordering(), answer)


def test_a_dense_tail_fills_around_what_came_live() -> None:
    ordering = Ordering()
    ordering.recovering = True
    ordering.apply(OutputEvent(259, "stdout", b"live"))
    chunks = [OutputEvent(seq, "stdout", b".") for seq in range(2, 259)]
    ready = merge(ordering, CatchUp(chunks, 259, True, 5))
    assert [event.seq for event in ready] == list(range(1, 260))
    assert ready[0] == ExitedEvent(1, 5)


def test_a_denial_is_added_to_an_exit_that_waits() -> None:
    ordering = Ordering()
    ordering.apply(ExitedEvent(2, 1, False))
    chunks = [OutputEvent(1, "stdout", b"")]
    ready = merge(ordering, CatchUp(chunks, 3, True, 1, sandbox_denied=True))
    assert ready == [*chunks, ExitedEvent(2, 1, True)]


@requirement("CLIENT-INV-08")
def test_the_reorder_limits_are_exact_and_the_missing_event_always_gets_in() -> None:
    ordering = Ordering()
    for seq in range(2, MAX_PENDING_EVENTS + 2):
        ordering.apply(OutputEvent(seq, "stdout", b""))
    with pytest.raises(ReorderLimitError, match="256 entries"):
        ordering.apply(OutputEvent(999, "stdout", b""))
    assert len(ordering.apply(OutputEvent(1, "stdout", b"x" * MAX_PENDING_BYTES * 2))) == 257
    with pytest.raises(ReorderLimitError, match="process event exceeds"):
        ordering.apply(OutputEvent(900, "stdout", b"x" * (MAX_PENDING_BYTES + 1)))
    ordering.apply(OutputEvent(901, "stdout", b"x" * MAX_PENDING_BYTES))
    with pytest.raises(ReorderLimitError, match="1048576 bytes"):
        ordering.apply(OutputEvent(902, "stdout", b"x"))
    assert ordering.pending_bytes == MAX_PENDING_BYTES


def test_sequence_numbers_start_at_one() -> None:
    assert Ordering().apply(OutputEvent(0, "stdout", b"x")) == []


def test_an_event_that_comes_again_takes_no_room() -> None:
    ordering = Ordering()
    for seq in (1, 1, 3, 3):
        ordering.apply(OutputEvent(seq, "stdout", b"x"))
    assert (list(ordering.pending), ordering.pending_bytes) == ([3], 1)
    assert [event.seq for event in ordering.apply(OutputEvent(2, "stdout", b"x"))] == [2, 3]
    assert (ordering.pending, ordering.pending_bytes) == ({}, 0)
