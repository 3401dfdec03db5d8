"""Holes in output, from an answer of the executor to what a reader of a stream gets."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from exec_client import ClientOptions, Gap, GapEvent, OutputEvent
from exec_client.connection.read_budget import ReadBudget
from exec_client.gaps import OnLoss, describe_gap
from exec_client.process.catch_up import CatchUp, CatchUpError, GapError, merge
from exec_client.process.event_log import QUEUE_EVENTS, EventLog
from exec_client.process.events import ClosedEvent, ExitedEvent, SequencedEvent, last_number
from exec_client.process.followed_process import FollowedProcess
from exec_client.process.ordering import Ordering
from exec_client.process.output import MOST_GAPS, OutputStream
from exec_client.recovery.pages import events_of_page
from exec_server_protocol.process import OutputChunk, ProcessCatchUpResult
from hypothesis import given
from hypothesis import strategies as st

Run = list[SequencedEvent]
randoms = st.integers(0, 2**32).map(random.Random)


def _run(rng: random.Random) -> Run:
    """A process: output of both streams, its exit somewhere among it, and maybe its end."""
    outputs = rng.randint(0, 30)
    exit_at = rng.choice([rng.randint(1, outputs + 1), outputs + 1, 10**6])
    events: Run = []
    for seq in range(1, outputs + 2):
        if seq == exit_at:
            events.append(ExitedEvent(seq, 3))
        else:
            stream = rng.choice(["stdout", "stderr"])
            data = rng.randbytes(rng.randint(1, 9))
            events.append(OutputEvent(seq, stream, data))  # type: ignore[arg-type]
    if exit_at <= outputs + 1 and rng.random() < 0.7:
        events.append(ClosedEvent(len(events) + 1))
    return events


def _sizes(events: Run) -> Counter[str]:
    sizes: Counter[str] = Counter(stdout=0, stderr=0)
    for event in events:
        if isinstance(event, OutputEvent):
            sizes[event.stream] += len(event.data)
    return sizes


def _page(happened: Run, after: int, pieces: int, kept_from: int) -> ProcessCatchUpResult:
    through = after
    chunks: list[OutputChunk] = []
    for event in happened[after:]:
        if isinstance(event, OutputEvent) and event.seq >= kept_from:
            if len(chunks) >= pieces:
                break
            chunks.append(OutputChunk(seq=event.seq, stream=event.stream, chunk=event.data))
        through = event.seq
    exits = [event for event in happened if isinstance(event, ExitedEvent)]
    before = chunks[0].seq - 1 if chunks else through
    return ProcessCatchUpResult(
        chunks=chunks,
        next_seq=through + 1,
        output_bytes=sum(_sizes(happened).values()),
        stream_offsets=dict(_sizes(happened[:before])),  # type: ignore[arg-type]
        exit_seq=exits[0].seq if exits else None,
        exit_code=exits[0].exit_code if exits else None,
        closed=bool(happened) and isinstance(happened[-1], ClosedEvent),
        live=through == len(happened),
    )


def _check(happened: Run, published: Run) -> None:
    """Everything is there once and in order; gaps hold output only, of the size they say."""
    expected = 1
    for event in published:
        assert event.seq == expected
        expected = last_number(event) + 1
        if not isinstance(event, GapEvent):
            assert event == happened[event.seq - 1]
            continue
        within = happened[event.seq - 1 : event.last_seq]
        assert all(isinstance(lost, OutputEvent) for lost in within)
        if event.stdout_bytes is not None:
            sizes = _sizes(within)
            assert (event.stdout_bytes, event.stderr_bytes) == (sizes["stdout"], sizes["stderr"])
        else:  # the exit is next to it: what is said to be lost is lost on both sides of it
            near = happened[max(0, event.seq - 2) : event.last_seq + 1]
            assert any(isinstance(other, ExitedEvent) for other in near)
    assert expected == len(happened) + 1


@given(randoms)
def test_pages_with_gaps_tell_what_happened_and_what_is_lost(rng: random.Random) -> None:
    everything = _run(rng)
    published: Run = []
    offsets: Counter[Any] | None = Counter()
    happened, kept_from = rng.randint(0, len(everything)), 1
    while True:
        kept_from = rng.randint(kept_from, max(kept_from, happened))
        after = last_number(published[-1]) if published else 0
        page = _page(everything[:happened], after, rng.randint(1, 4), kept_from)
        events = events_of_page(page, after, fill=True, offsets=offsets)
        published += events
        offsets = Counter(_sizes(everything[: page.next_seq - 1]))
        if page.live and happened == len(everything):
            break
        happened = min(len(everything), happened + rng.randint(0, 4))
    _check(everything, published)


@given(randoms)
def test_one_answer_with_gaps_tells_what_happened_and_the_exit_is_behind_what_is_lost(
    rng: random.Random,
) -> None:
    everything = _run(rng)
    ordering = Ordering()
    published: Run = []
    known = rng.randint(0, len(everything))
    for event in everything[:known]:
        published += ordering.apply(event)
    kept_from = rng.randint(1, len(everything) + 1)
    exits = [event for event in everything if isinstance(event, ExitedEvent)]
    chunks = [
        event for event in everything
        if isinstance(event, OutputEvent) and event.seq >= kept_from and event.seq > known
    ]  # fmt: skip
    answer = CatchUp(
        chunks=chunks,
        next_seq=len(everything) + 1,
        exited=bool(exits),
        exit_code=3 if exits else None,
        closed=bool(everything) and isinstance(everything[-1], ClosedEvent),
    )
    published += merge(ordering, answer, fill=True)
    expected = 1
    for event in published:
        assert event.seq == expected
        expected = last_number(event) + 1
        if isinstance(event, OutputEvent | ClosedEvent):
            assert event == everything[event.seq - 1]
        elif isinstance(event, ExitedEvent):
            truth = exits[0]
            assert event.exit_code == 3
            # Its place is known, or it is the last of the hole that it was in.
            assert event == truth or (event.seq + 1 == kept_from or not chunks)
        else:
            assert (event.stdout_bytes, event.stderr_bytes) == (None, None)
            lost = everything[event.seq - 1 : event.last_seq]
            assert all(other.seq < kept_from for other in lost if isinstance(other, OutputEvent))
    assert expected == len(everything) + 1
    assert sum(isinstance(event, ExitedEvent) for event in published) == len(exits)


def test_an_answer_without_a_number_for_the_exit_or_without_its_code_is_refused_with_gaps_too() -> (
    None
):
    for answer in (
        CatchUp(next_seq=1 + 1, chunks=[OutputEvent(1, "stdout", b"a")], exited=True, exit_code=0),
        CatchUp(next_seq=9, exited=True),
    ):
        with pytest.raises(CatchUpError) as caught:
            merge(Ordering(), answer, fill=True)
        assert not isinstance(caught.value, GapError)


def test_a_hostile_number_makes_one_gap_and_no_list() -> None:
    [gap] = merge(Ordering(), CatchUp(next_seq=2**60), fill=True)
    assert (gap.seq, last_number(gap)) == (1, 2**60 - 1)


def test_without_gaps_the_error_says_how_much_is_lost_and_how_much_is_left() -> None:
    happened: Run = [OutputEvent(seq, "stdout", b"abc") for seq in range(1, 11)]
    with pytest.raises(GapError) as caught:
        events_of_page(_page(happened, 2, 3, kept_from=6), 2, offsets={"stdout": 6})
    error = caught.value
    assert (error.after_seq, error.oldest_seq) == (2, 6)
    assert (error.lost_bytes, error.retained_bytes) == (9, 15)


async def test_after_a_gap_of_unknown_size_the_next_page_tells_how_much_was_written() -> None:
    process = FollowedProcess("p", ReadBudget(10**9), on_loss=OnLoss("gap", "<gap>"))
    happened: Run = [OutputEvent(seq, "stderr", b"abc") for seq in range(1, 11)]
    process.receive(GapEvent(1, 4, None, None))
    assert process.offsets is None
    page = _page(happened, 4, 2, kept_from=5)
    for event in events_of_page(page, 4, fill=True, offsets=process.offsets):
        process.receive(event)
    process.synchronize(page)
    assert process.written_bytes == 18
    page = _page(happened, 6, 9, kept_from=9)
    [gap, *_] = events_of_page(page, 6, fill=True, offsets=process.offsets)
    assert gap == GapEvent(7, 8, 0, 6)


# ---------------------------------------------------------------------- streams


Item = bytes | tuple[int | None]
"""Output, or a hole of that size."""

items = st.lists(
    st.one_of(st.binary(min_size=1, max_size=6), st.tuples(st.none() | st.integers(1, 99))),
    max_size=12,
)


def _stream(items: list[Item], marker: Any = "<gap>", limit: int = 10**9) -> OutputStream:
    stream = OutputStream(ReadBudget(limit), "stdout", OnLoss("gap", marker))
    for seq, item in enumerate(items, 1):
        if isinstance(item, bytes):
            stream.feed(item, seq)
        else:
            stream.feed_hole(seq, seq, item[0])
    stream.end()
    return stream


async def _read_pieces(stream: OutputStream) -> bytes:
    return b"".join([piece async for piece in stream])


async def _read_some(stream: OutputStream) -> bytes:
    parts = []
    while data := await stream.read(2):
        parts.append(data)
    return b"".join(parts)


async def _read_lines(stream: OutputStream) -> bytes:
    parts = []
    while line := await stream.readline():
        assert line.count(b"\n") <= 1
        parts.append(line)
    return b"".join(parts)


async def _read_all(stream: OutputStream) -> bytes:
    return await stream.read()


async def _take_all(stream: OutputStream) -> bytes:
    return stream.take_all()


@pytest.mark.parametrize("read", [_read_pieces, _read_some, _read_lines, _read_all, _take_all])
@pytest.mark.parametrize("marker", ["", "<gap>", "\n|\n", lambda gap: f"<{gap.lost_bytes}>"])
@given(items)
def test_a_marker_is_where_the_hole_is_however_it_is_read(
    read: Callable[[OutputStream], Any], marker: Any, items: list[Item]
) -> None:
    stream = _stream(items, marker)
    wanted = b""
    gaps = []
    for seq, item in enumerate(items, 1):
        if isinstance(item, bytes):
            wanted += item
        else:
            gap = Gap("stdout", len(wanted), item[0], seq, seq)
            gaps.append(gap)
            wanted += (marker if isinstance(marker, str) else marker(gap)).encode()
    assert asyncio.run(read(stream)) == wanted
    assert list(stream.gaps) == gaps
    assert stream.buffered == 0


@given(st.lists(st.text(max_size=8), max_size=6), st.randoms())
def test_text_around_holes_is_what_it_would_be_without_them(
    texts: list[str], rng: random.Random
) -> None:
    """Holes between whole characters change nothing but for their markers."""
    items: list[Item] = []
    for text in texts:
        data = text.encode()
        cut = rng.randint(0, len(data))
        items += [part for part in (data[:cut], data[cut:]) if part] + [(1,)]

    async def main() -> None:
        assert "".join([t async for t in _stream(items, "\0").text()]) == "\0".join([*texts, ""])
        lines = [line async for line in _stream(items, "\n[lost]\n").lines()]
        joined = "\n[lost]\n".join([*texts, ""]).split("\n")[:-1]
        assert lines == [line.removesuffix("\r") for line in joined]

    asyncio.run(main())


@given(st.text(min_size=1, max_size=4), st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_characters_that_a_hole_has_torn_apart_are_no_error(
    text: str, end: int, begin: int, marked: bool
) -> None:
    data = text.encode()
    before, after = data[: end % (len(data) + 1)], data[begin % (len(data) + 1) :]
    items: list[Item] = [before] if before else []
    items += [(7,), *(after[i : i + 1] for i in range(len(after)))]  # one byte at a time

    async def main() -> str:
        stream = _stream(items, "|" if marked else "")
        return "".join([part async for part in stream.text()])

    whole = after.lstrip(bytes(range(0x80, 0xC0)))
    torn = "\ufffd" if len(whole) < len(after) else ""
    found = asyncio.run(main())
    assert found == "".join(
        [before.decode("utf-8", "replace"), "|" if marked else "", torn, whole.decode()]
    )


async def test_a_cancelled_read_keeps_markers_and_does_not_count_gaps_twice() -> None:
    stream = OutputStream(ReadBudget(10**9), "stderr", OnLoss("gap", "<gap>"))
    stream.feed(b"one ", 1)
    stream.feed_hole(2, 5, 40)
    stream.feed(b" six", 6)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    stream.feed_hole(7, 7, 3)
    stream.end()
    assert [t async for t in stream.text()] == ["one ", "<gap>", " six", "<gap>"]
    assert stream.gaps == (Gap("stderr", 4, 40, 2, 5), Gap("stderr", 13, 3, 7, 7))


async def test_a_marker_that_cannot_be_made_is_an_error_once() -> None:
    def fail(gap: Gap) -> str:
        raise ZeroDivisionError

    stream = _stream([b"a", (1,), b"b"], fail)
    with pytest.raises(ZeroDivisionError):
        await stream.read()
    assert await stream.read() == b"ab"


@given(items, st.integers(1, 40))
def test_what_is_given_up_unread_becomes_one_gap_with_those_that_were_there(
    items: list[Item], size: int
) -> None:
    async def main() -> None:
        stream = _stream(items, lambda gap: f"<{gap.lost_bytes}>")
        left = deque(items)
        lost: int | None = 0
        dropped, there = 0, stream.buffered
        if there:
            stream.drop_oldest(size)
            dropped = there - stream.buffered
            assert dropped >= min(size, there)
        before = dropped
        while left and (before > 0 or (dropped and not isinstance(left[0], bytes))):
            item = left.popleft()
            if isinstance(item, bytes):
                part = min(before, len(item))
                before -= part
                lost = None if lost is None else lost + part
                if part < len(item):
                    left.appendleft(item[part:])
            else:
                lost = None if lost is None or item[0] is None else lost + item[0]
        marks = [b"<%s>" % str(lost).encode()] if dropped else []
        marks += [i if isinstance(i, bytes) else b"<%s>" % str(i[0]).encode() for i in left]
        assert await stream.read() == b"".join(marks)

    asyncio.run(main())


async def test_gaps_without_end_are_remembered_up_to_a_bound() -> None:
    stream = _stream([(1,)] * (MOST_GAPS + 5), "")
    assert await stream.read() == b""
    assert len(stream.gaps) == MOST_GAPS
    assert stream.gaps[-1] == Gap("stdout", 0, 6, MOST_GAPS, MOST_GAPS + 5)


# ---------------------------------------------------------------------- events


async def test_a_slow_subscriber_gets_a_gap_and_never_loses_the_exit() -> None:
    log = EventLog(ReadBudget(10**9), gaps=True)
    subscription = log.subscribe()
    log.publish(OutputEvent(1, "stdout", b"a"))
    log.publish(ExitedEvent(2, 5))
    log.publish(GapEvent(3, 9, 10, None))
    for seq in range(10, QUEUE_EVENTS + 10):
        log.publish(OutputEvent(seq, "stderr", b"bc"))
    seen = [await anext(subscription) for _ in range(3)]
    assert seen == [
        GapEvent(1, 9, 11, None),
        ExitedEvent(2, 5),
        OutputEvent(10, "stderr", b"bc"),
    ]
    log.publish(ClosedEvent(QUEUE_EVENTS + 10))
    rest = [event async for event in subscription]
    assert len(rest) == QUEUE_EVENTS


def test_the_default_marker_is_a_line_that_says_how_much() -> None:
    assert describe_gap(Gap("stdout", 0, 12345, 1, 2)) == "\n[12,345 bytes of output lost]\n"
    assert describe_gap(Gap("stdout", 0, None, 1, 2)) == "\n[output lost]\n"
    assert ClientOptions().lost_output == "fail"
    with pytest.raises(ValueError, match="'fail' or 'gap'"):
        OnLoss("gaps")  # type: ignore[arg-type]
