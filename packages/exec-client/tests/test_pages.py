"""Pages of missed output: pure, so any of them can be cut, repeated or overtaken."""

from __future__ import annotations

import random

import pytest
from exec_client.process.catch_up import CatchUp, CatchUpError, GapError, merge
from exec_client.process.events import ClosedEvent, ExitedEvent, OutputEvent, SequencedEvent
from exec_client.process.ordering import Ordering
from exec_client.recovery.pace import FIRST_PAGE_BYTES, Pace
from exec_client.recovery.pages import events_of_page
from exec_client.recovery.patience import (
    LEAST_BYTES,
    MOST_BYTES,
    MOST_SECONDS,
    STEP_SECONDS,
    Hearing,
)
from exec_server_protocol.process import OutputChunk, ProcessCatchUpResult
from exec_testkit.requirements import requirement
from hypothesis import given
from hypothesis import strategies as st


def _run(outputs: int, exit_at: int) -> list[SequencedEvent]:
    """A process: outputs with an exit somewhere among them, and the close at the end."""
    events: list[SequencedEvent] = [
        ExitedEvent(seq, 3) if seq == exit_at else OutputEvent(seq, "stdout", b"%d;" % seq)
        for seq in range(1, outputs + 2)
    ]
    return [*events, ClosedEvent(outputs + 2)]


runs = st.integers(0, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n + 1)).map(lambda x: _run(*x))
)


def _page(
    happened: list[SequencedEvent], after: int, pieces: int, kept_from: int = 1
) -> ProcessCatchUpResult:
    """What an executor answers when so much has happened: so many pieces of output at most."""
    through = after
    chunks: list[OutputChunk] = []
    for event in happened[after:]:
        if isinstance(event, OutputEvent) and event.seq >= kept_from:
            if len(chunks) >= pieces:
                break
            chunks.append(OutputChunk(seq=event.seq, stream=event.stream, chunk=event.data))
        through = event.seq
    exits = [event for event in happened if isinstance(event, ExitedEvent)]
    return ProcessCatchUpResult(
        chunks=chunks,
        next_seq=through + 1,
        output_bytes=sum(len(e.data) for e in happened if isinstance(e, OutputEvent)),
        exit_seq=exits[0].seq if exits else None,
        exit_code=exits[0].exit_code if exits else None,
        closed=isinstance(happened[-1], ClosedEvent) if happened else False,
        live=through == len(happened),
    )


@requirement("CLIENT-INV-01", "CLIENT-INV-03", "CLIENT-INV-04", "CLIENT-INV-05", "CLIENT-R10")
@given(runs, st.integers(0, 2**32).map(random.Random))
def test_pages_cuts_and_live_events_in_any_mixture_are_published_once_and_in_order(
    events: list[SequencedEvent], rng: random.Random
) -> None:
    ordering = Ordering()
    published: list[SequencedEvent] = []
    happened = rng.randint(0, len(events))
    while not ordering.closed:  # one connection after the other
        ordering.recovering = True
        live = False
        for _ in range(rng.randint(1, 12)):
            happened = min(len(events), happened + rng.randint(0, 3))
            after = ordering.last
            page = _page(events[:happened], after, pieces=rng.randint(0, 4))
            if rng.random() < 0.2:
                break  # cut: nothing of this page has come
            ready = events_of_page(page, after)
            later: list[SequencedEvent] = []
            if page.live:
                live, later = True, events[happened : happened + rng.randint(0, 5)]
                happened += len(later)
            first, second = (later, ready) if rng.random() < 0.3 else (ready, later)
            for event in [*first, *second]:
                published += ordering.apply(event)
            for event in rng.sample(published, len(published) // 3):
                assert ordering.apply(event) == []
            if live:
                break
        happened = min(len(events), happened + rng.randint(0, 2))  # lost with the connection
    assert published == events
    assert ordering.pending == {}


@requirement("CLIENT-INV-06")
@given(runs, st.integers(2, 30), st.integers(0, 20), st.integers(1, 5))
def test_a_hole_in_a_page_is_a_gap_and_tells_where_it_is(
    events: list[SequencedEvent], kept_from: int, after: int, pieces: int
) -> None:
    after = min(after, len(events))
    page = _page(events, after, pieces, kept_from)
    lost = [
        e.seq for e in events[after : page.next_seq - 1]
        if isinstance(e, OutputEvent) and e.seq < kept_from
    ]  # fmt: skip
    if not lost:
        assert events_of_page(page, after) == events[after : page.next_seq - 1]
        return
    with pytest.raises(GapError) as caught:
        events_of_page(page, after)
    assert caught.value.after_seq == lost[0] - 1
    there = [e.seq for e in events[lost[0] : page.next_seq - 1] if e.seq not in lost]
    assert caught.value.oldest_seq == (there[0] if there else None)


def _answer(**members: object) -> ProcessCatchUpResult:
    chunks = [{"seq": seq, "stream": "stdout", "chunk": "YQ=="} for seq in members.pop("seqs")]  # type: ignore[attr-defined]
    return ProcessCatchUpResult.model_validate({"chunks": chunks, "outputBytes": 1, **members})


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (_answer(seqs=[1, 5], nextSeq=3), "out of place"),
        (_answer(seqs=[5], nextSeq=2), "out of place"),
        (_answer(seqs=[1, 1], nextSeq=2), "out of place"),
        (_answer(seqs=[2, 1], nextSeq=3), "no longer retained"),
        (_answer(seqs=[1, 2], nextSeq=3, exitSeq=2, exitCode=0), "out of place"),
        (_answer(seqs=[1, 2], nextSeq=3, closed=True, live=True), "out of place"),
        (_answer(seqs=[1], nextSeq=3, exitSeq=2), "no exit code"),
        (_answer(seqs=[], nextSeq=2**60), "no longer retained"),
    ],
)
def test_pages_that_contradict_themselves_are_refused(
    answer: ProcessCatchUpResult, complaint: str
) -> None:
    with pytest.raises(CatchUpError, match=complaint):
        events_of_page(answer, 0)


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


arrivals = st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 100)))


@given(st.integers(1, 10**8), st.integers(1, 4), arrivals)
def test_pages_together_never_pass_their_limit_and_never_vanish(
    largest: int, at_once: int, pages: list[tuple[int, float]]
) -> None:
    pace = Pace(largest, at_once)
    for size, seconds in pages:
        assert 1 <= pace.page_bytes <= max(1, largest // at_once)
        pace.arrived(size, seconds)


@given(st.integers(20_000, 10**9))
def test_a_page_takes_about_half_a_second_whatever_the_link_carries(rate: int) -> None:
    pace = Pace(2**40, 1)
    for _ in range(20):
        size = pace.page_bytes * 4 // 3
        pace.arrived(size, 0.1 + size / rate)
    assert pace.page_bytes <= max(FIRST_PAGE_BYTES, rate / 2)
    assert pace.page_bytes >= min(FIRST_PAGE_BYTES, rate / 4)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 1))))
def test_a_deadline_moves_on_with_what_is_heard_and_not_without_end(
    steps: list[tuple[int, int]],
) -> None:
    hearing = Hearing(0, 0)
    received = answers = since = waited = 0
    for size, answered in steps:
        received += size
        answers += answered
        since = size if answered else since + size
        waited = 1 if answered else waited + 1
        bounded = since < MOST_BYTES and waited * STEP_SECONDS < MOST_SECONDS
        assert hearing.step(received, answers) == (size >= LEAST_BYTES and bounded)
