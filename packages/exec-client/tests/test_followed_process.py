"""What is known of one process: its end, its waiters, and a failure that comes once."""

from __future__ import annotations

import asyncio
import random
from typing import Literal

import pytest
from exec_client.connection.read_budget import ReadBudget
from exec_client.errors import OutputLostError, ProcessBrokenError
from exec_client.process.catch_up import GapError
from exec_client.process.events import (
    ClosedEvent,
    ExitedEvent,
    FailedEvent,
    OutputEvent,
    ProcessEvent,
    SequencedEvent,
    StreamEnd,
)
from exec_client.process.followed_process import FollowedProcess
from exec_testkit.requirements import requirement
from hypothesis import given
from hypothesis import strategies as st

RUN: list[SequencedEvent] = [
    OutputEvent(1, "stdout", b"a"),
    OutputEvent(2, "stderr", b"b"),
    ExitedEvent(3, 7),
    OutputEvent(4, "stdout", b"c"),
    ClosedEvent(5),
]


def _process() -> FollowedProcess:
    return FollowedProcess("p", ReadBudget(10**6))


async def _drain(process: FollowedProcess) -> list[ProcessEvent]:
    return [event async for event in process.events()]


@requirement("CLIENT-INV-03", "CLIENT-INV-04", "CLIENT-INV-09")
@given(st.randoms(use_true_random=False), st.integers(0, 8))
def test_there_is_one_last_event_whenever_the_failure_comes(rng: random.Random, at: int) -> None:
    async def main() -> None:
        process = _process()
        live = process.events()
        incoming = [*RUN, *rng.sample(RUN, 2)]
        rng.shuffle(incoming)
        highest = 0
        for number, event in enumerate(incoming):
            if number == at:
                process.fail("gone")
                process.fail("gone again")
            process.receive(event)
            assert process._wake_value >= max(highest, process.ordering.last)
            highest = process._wake_value
        process.fail("too late")
        seen = await _drain(process)
        assert [event async for event in live] == seen
        ends = [e for e in seen if isinstance(e, ClosedEvent | FailedEvent)]
        assert ends == [seen[-1]]
        if isinstance(seen[-1], FailedEvent):
            assert seen[:-1] == RUN[: len(seen) - 1]
            with pytest.raises(ProcessBrokenError, match=seen[-1].message):
                await process.wait()
        else:
            assert seen == RUN
            assert await process.wait() == 7

    asyncio.run(main())


@requirement("CLIENT-INV-09")
async def test_an_event_that_does_not_raise_the_value_wakes_too() -> None:
    process = _process()
    process.receive(RUN[3])
    waiters = [asyncio.ensure_future(process.wait_changed(4)) for _ in range(3)]
    await asyncio.sleep(0)
    process.receive(RUN[0])
    assert await asyncio.gather(*waiters) == [4, 4, 4]
    process.fail("gone")
    assert await process.wait_changed(4) == 5


@requirement("CLIENT-INV-27")
async def test_a_gap_says_how_much_there_was_before_and_after_it() -> None:
    process = _process()
    process.receive(OutputEvent(1, "stdout", b"x" * 100))
    process.fail("failed to recover process p: gap", GapError(1, 408, 5000, 619))
    with pytest.raises(OutputLostError, match="100 bytes had arrived, 5000 are left") as caught:
        await process.wait()
    lost = caught.value
    assert (lost.after_seq, lost.oldest_seq) == (1, 408)
    assert (lost.received_bytes, lost.retained_bytes) == (100, 5000)
    assert await process.stdout.read(1000) == b"x" * 100
    with pytest.raises(OutputLostError):
        await process.stdout.read(1)


@requirement("CLIENT-INV-07")
async def test_subscribers_that_nobody_holds_are_forgotten() -> None:
    process = _process()
    for _ in range(100):
        process.events()
    process.receive(RUN[0])
    assert len(process._log._subscriptions) == 0
    events = process.events()
    process.receive(RUN[1])
    assert [await anext(events), await anext(events)] == RUN[:2]
    assert len(process._log._subscriptions) == 1


async def test_who_takes_events_does_not_have_to_read_the_streams() -> None:
    process = FollowedProcess("p", ReadBudget(1000))
    events = process.events()
    for seq in range(1, 200):
        process.receive(OutputEvent(seq, "stdout", b"x" * 100))
        assert await anext(events) == OutputEvent(seq, "stdout", b"x" * 100)
    assert process.stdout.buffered <= 1000
    with pytest.raises(OutputLostError):
        await process.stdout.read(1)


def _ends(events: list[SequencedEvent], rng: random.Random) -> list[StreamEnd]:
    """Say when each stream ended: after its last output, and before the close."""
    ends = []
    for name in ("stdout", "stderr"):
        last = max(e.seq for e in events if isinstance(e, OutputEvent) and e.stream == name)
        ends.append(StreamEnd(name, rng.randint(last, len(events) - 1)))
    return ends


@requirement("CLIENT-INV-03")
@given(
    st.lists(st.sampled_from(["stdout", "stderr"]), max_size=8), st.randoms(use_true_random=False)
)
def test_a_stream_ends_with_its_last_event_in_whatever_order_that_is_told(
    streams: list[Literal["stdout", "stderr"]], rng: random.Random
) -> None:
    async def main() -> None:
        process = _process()
        events: list[SequencedEvent] = [
            OutputEvent(seq, name, b"%d;" % seq)
            for seq, name in enumerate(["stdout", "stderr", *streams], 1)
        ]
        events += [ExitedEvent(len(events) + 1, 7, signal=9), ClosedEvent(len(events) + 2)]
        ends = _ends(events, rng)
        told: dict[str, int] = {}
        incoming: list[SequencedEvent | StreamEnd] = [*events, *ends]
        incoming += rng.sample(incoming, 3)
        rng.shuffle(incoming)
        for event in incoming:
            process.receive(event)
            if isinstance(event, StreamEnd):
                told[event.stream] = event.last_seq
            for stream in (process.stdout, process.stderr):
                reached = told.get(stream.name, len(events)) <= process.ordering.last
                assert stream._ended == (reached or process.ordering.closed)
        for stream in (process.stdout, process.stderr):
            wanted = [e for e in events if isinstance(e, OutputEvent) and e.stream == stream.name]
            assert await stream.read() == b"".join(e.data for e in wanted)
        assert (await process.wait(), process.signal) == (7, 9)

    asyncio.run(main())


async def test_a_stream_that_is_complete_ends_well_though_the_process_is_lost() -> None:
    process = _process()
    for event in (RUN[0], StreamEnd("stdout", 1), RUN[1]):
        process.receive(event)
    process.fail("gone")
    assert await process.stdout.read() == b"a"
    with pytest.raises(ProcessBrokenError, match="gone"):
        await process.stderr.read()
