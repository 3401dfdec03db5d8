"""A catch-up that ends where live events begin."""

from __future__ import annotations

import pytest
from exec_client.events import ClosedEvent, ExitedEvent, OutputEvent, SequencedEvent
from exec_client.recovery.catch_up import CatchUp, CatchUpError, GapError, merge
from exec_client.recovery.ordering import Ordering
from exec_testkit.requirements import requirement
from hypothesis import given
from hypothesis import strategies as st


def _run(outputs: int, exit_at: int) -> list[SequencedEvent]:
    events: list[SequencedEvent] = [
        ExitedEvent(seq, 3) if seq == exit_at else OutputEvent(seq, "stdout", b"%d" % seq)
        for seq in range(1, outputs + 2)
    ]
    return [*events, ClosedEvent(outputs + 2)]


@st.composite
def partial_runs(draw: st.DrawFn) -> tuple[list[SequencedEvent], int, int, int]:
    """A run; how much of it was known before, where live events begin, and how far pages go."""
    outputs = draw(st.integers(2, 30))
    events = _run(outputs, draw(st.integers(1, outputs + 1)))
    known = draw(st.integers(0, len(events) - 2))
    live = draw(st.integers(known + 1, len(events) - 1))
    return events, known, live, draw(st.integers(live, len(events) - 1))


@requirement("CLIENT-INV-01", "CLIENT-INV-05", "CLIENT-R10")
@given(partial_runs())
def test_pages_that_meet_the_live_events_are_enough(
    run: tuple[list[SequencedEvent], int, int, int],
) -> None:
    events, known, live, read = run
    ordering = Ordering()
    published = [event for incoming in events[:known] for event in ordering.apply(incoming)]
    ordering.recovering = True
    for event in events[live:]:
        published += ordering.apply(event)
    chunks = [e for e in events[known:read] if isinstance(e, OutputEvent)]
    cursor = max([chunk.seq for chunk in chunks], default=known)
    if cursor + 1 not in ordering.pending:
        return  # the client would read on
    exited = any(isinstance(e, ExitedEvent) for e in events)
    catch_up = CatchUp(chunks, cursor + 1, exited, 3, closed=True, partial=True)
    published += merge(ordering, catch_up)
    assert published == events
    assert merge(ordering, catch_up) == []


@requirement("CLIENT-INV-06")
def test_a_hole_in_the_pages_is_a_gap_also_when_the_exit_came_live() -> None:
    ordering = Ordering()
    ordering.recovering = True
    ordering.apply(ExitedEvent(4, 0))
    chunks = [OutputEvent(1, "stdout", b""), OutputEvent(3, "stdout", b"abc")]
    with pytest.raises(GapError) as caught:
        merge(ordering, CatchUp(chunks, 4, True, 0, partial=True))
    assert (caught.value.after_seq, caught.value.oldest_seq) == (1, 3)
    assert caught.value.retained_bytes == 3
    assert (ordering.last, list(ordering.pending)) == (0, [4])


@requirement("CLIENT-INV-05")
def test_the_first_of_two_chunks_with_one_number_counts() -> None:
    chunks = [OutputEvent(1, "stdout", b"a"), OutputEvent(1, "stdout", b"b")]
    assert merge(Ordering(), CatchUp(chunks, 2)) == [OutputEvent(1, "stdout", b"a")]


@requirement("CLIENT-INV-05")
def test_an_answer_older_than_what_is_known_changes_nothing() -> None:
    ordering = Ordering()
    for seq in range(1, 5):
        ordering.apply(OutputEvent(seq, "stdout", b""))
    assert merge(ordering, CatchUp([OutputEvent(2, "stdout", b"other")], 3)) == []
    assert ordering.last == 4


@requirement("CLIENT-INV-06")
def test_a_close_where_output_was_seen_live_is_refused() -> None:
    ordering = Ordering()
    ordering.apply(OutputEvent(3, "stdout", b"live"))
    answer = CatchUp([OutputEvent(1, "stdout", b"")], 4, True, 0, closed=True)
    with pytest.raises(CatchUpError, match="conflicts"):
        merge(ordering, answer)
    assert (ordering.last, list(ordering.pending)) == (0, [3])
