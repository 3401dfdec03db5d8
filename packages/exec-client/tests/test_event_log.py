"""History for late subscribers, and what a slow one learns."""

from __future__ import annotations

import asyncio

import pytest
from exec_client.errors import OutputLostError
from exec_client.process.event_log import HISTORY_BYTES, HISTORY_EVENTS, EventLog
from exec_client.process.events import ClosedEvent, ExitedEvent, FailedEvent, OutputEvent
from exec_testkit.requirements import requirement


@requirement("CLIENT-INV-07")
async def test_a_late_subscriber_gets_the_end_of_history_and_then_what_comes() -> None:
    log = EventLog()
    for seq in range(1, HISTORY_EVENTS + 11):
        log.publish(OutputEvent(seq, "stdout", b"x"))
    subscription = log.subscribe()
    log.publish(ExitedEvent(HISTORY_EVENTS + 11, 0))
    log.publish(ClosedEvent(HISTORY_EVENTS + 12))
    numbers = [event.seq async for event in subscription if not isinstance(event, FailedEvent)]
    assert numbers == list(range(11, HISTORY_EVENTS + 13))


@requirement("CLIENT-INV-07")
async def test_history_is_bounded_in_bytes_too() -> None:
    log = EventLog()
    log.publish(OutputEvent(1, "stdout", b"x" * (HISTORY_BYTES + 1)))
    log.publish(ExitedEvent(2, 0))
    log.publish(ClosedEvent(3))
    assert [event async for event in log.subscribe()] == [ExitedEvent(2, 0), ClosedEvent(3)]


@requirement("CLIENT-INV-07")
async def test_a_slow_subscriber_learns_once_how_much_it_missed() -> None:
    log = EventLog()
    subscription = log.subscribe()
    for seq in range(1, 301):
        log.publish(OutputEvent(seq, "stdout", b""))
    with pytest.raises(OutputLostError, match="44 events") as caught:
        await anext(subscription)
    assert (caught.value.after_seq, caught.value.oldest_seq) == (0, 45)
    assert await anext(subscription) == OutputEvent(45, "stdout", b"")


async def test_a_cancelled_wait_loses_nothing() -> None:
    log = EventLog()
    subscription = log.subscribe()
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    log.publish(OutputEvent(1, "stdout", b"x"))
    assert await anext(subscription) == OutputEvent(1, "stdout", b"x")


async def test_a_failure_ends_the_iteration() -> None:
    log = EventLog()
    subscription = log.subscribe()
    log.publish(FailedEvent("gone"))
    assert [event async for event in subscription] == [FailedEvent("gone")]
