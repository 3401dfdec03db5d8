"""Who gives way when more output waits to be read than may."""

from __future__ import annotations

import asyncio

import pytest
from exec_client.connection.read_budget import ABANDONED_SECONDS, HARD_FACTOR, ReadBudget
from exec_client.errors import OutputLostError
from exec_client.process.output import OutputStream
from exec_testkit.virtual_time import run

LIMIT = 1000


def _fed(budget: ReadBudget, size: int, first: int = 1) -> OutputStream:
    stream = OutputStream(budget)
    for number in range(size // 100):
        stream.feed(b"x" * 100, first + number)
    return stream


def test_up_to_the_limit_nothing_is_held_back_or_given_up() -> None:
    budget = ReadBudget(LIMIT)
    stream = _fed(budget, LIMIT)
    stream.mark_expendable()
    assert (budget.full, budget.drop_unread(), stream.buffered) == (False, True, LIMIT)


def test_a_stream_that_was_never_read_keeps_its_output_up_to_the_hard_limit() -> None:
    budget = ReadBudget(LIMIT)
    stream = _fed(budget, LIMIT * HARD_FACTOR)
    assert budget.full
    assert budget.drop_unread()
    assert stream.buffered == LIMIT * HARD_FACTOR
    stream.feed(b"y" * 100, 999)
    assert budget.drop_unread()
    assert stream.buffered == LIMIT * HARD_FACTOR


def test_an_unwanted_stream_is_the_first_to_give_way() -> None:
    budget = ReadBudget(LIMIT)
    unwanted, other = _fed(budget, LIMIT), _fed(budget, LIMIT)
    unwanted.mark_expendable()
    assert budget.drop_unread()
    assert (unwanted.buffered, other.buffered) == (0, LIMIT)


def test_who_reads_keeps_everything_until_it_has_not_read_for_long() -> None:
    async def main() -> None:
        budget = ReadBudget(LIMIT)
        stream = OutputStream(budget)
        stream.feed(b"first")
        assert await stream.read(5) == b"first"
        for number in range(LIMIT * HARD_FACTOR // 100 + 1):
            stream.feed(b"x" * 100, number + 2)
        assert not budget.drop_unread()
        await asyncio.sleep(ABANDONED_SECONDS / 2)
        assert not budget.drop_unread()
        await asyncio.sleep(ABANDONED_SECONDS)
        assert budget.drop_unread()
        with pytest.raises(OutputLostError) as caught:
            await stream.read(1)
        lost = caught.value
        assert (lost.after_seq, lost.oldest_seq, lost.lost_bytes) == (1, 3, 100)
        assert len(await stream.read(10**6)) == 100

    run(main())


def test_the_reader_is_woken_by_room_and_by_somebody_who_waits() -> None:
    async def main() -> None:
        budget = ReadBudget(LIMIT)
        stream = _fed(budget, LIMIT + 100)
        held = asyncio.ensure_future(budget.wait_changed())
        await asyncio.sleep(0)
        assert not held.done()
        await stream.read(100)
        await held
        held = asyncio.ensure_future(budget.wait_changed())
        await asyncio.sleep(0)
        with budget.waiting():
            assert budget.wanted
            await held
        assert not budget.wanted

    run(main(), limit=0.5)


def test_dropping_a_stream_s_output_gives_the_budget_back() -> None:
    budget = ReadBudget(LIMIT)
    stream = _fed(budget, 2 * LIMIT)
    stream.discard()
    stream.feed(b"more")
    assert (budget.used, stream.buffered) == (0, 0)


def test_one_reader_at_a_time() -> None:
    async def main() -> None:
        stream = OutputStream(ReadBudget(LIMIT))
        first = asyncio.ensure_future(stream.read(1))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await stream.read(1)
        stream.feed(b"ab")
        assert await first == b"a"
        assert await stream.read(1) == b"b"

    run(main())


def test_a_failed_read_to_the_end_leaves_what_arrived() -> None:
    async def main() -> None:
        stream = OutputStream(ReadBudget(LIMIT))
        stream.feed(b"one,two")
        assert await stream.read(4) == b"one,"
        stream.feed(b",three")
        stream.end(OutputLostError("gone", after_seq=2))
        for _ in range(2):
            with pytest.raises(OutputLostError, match="gone"):
                await stream.read()
        assert stream.take_all() == b"two,three"

    run(main())
