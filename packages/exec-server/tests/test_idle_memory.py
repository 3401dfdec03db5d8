"""When freed memory is given back to the system."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from exec_server.runtime.idle_memory import QuietAfterWork, give_back_when_idle
from hypothesis import given
from hypothesis import strategies as st


def test_a_program_that_only_waits_gives_nothing_back() -> None:
    quiet = QuietAfterWork(3.0)
    assert not any(quiet.look(3.0 + number * 0.001) for number in range(50))


def test_a_burst_is_followed_by_one_rest_when_it_is_over() -> None:
    quiet = QuietAfterWork(0.0)
    assert not quiet.look(4.0)
    assert not quiet.look(8.0)
    assert quiet.look(8.001)
    quiet.rest(8.2)
    assert not quiet.look(8.201)


@given(st.lists(st.floats(0, 10), max_size=30))
def test_it_rests_only_when_calm_and_only_after_work(steps: list[float]) -> None:
    used = since = 0.0
    quiet = QuietAfterWork(used)
    for step in steps:
        used, before = used + step, used
        expected = used - before <= 0.1 and used - since >= 0.1
        assert quiet.look(used) is expected
        if expected:
            since = used
            quiet.rest(used)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="returns at once elsewhere")
async def test_it_is_done_once_in_a_thread_after_work() -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    calls: list[bool] = []

    def give_back() -> None:
        calls.append(asyncio._get_running_loop() is None)
        loop.call_soon_threadsafe(done.set)

    task = asyncio.create_task(give_back_when_idle(give_back, look_seconds=0.01))
    await asyncio.sleep(0)  # it has begun to look
    end = time.process_time() + 0.3
    while time.process_time() < end:
        continue
    async with asyncio.timeout(20):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
    assert calls[0]
    assert task.cancelled()
