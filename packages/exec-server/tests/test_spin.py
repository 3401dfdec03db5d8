"""The event loop stays awake for answers that come at once, and not for long."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator

import pytest
from exec_server.workers import spin as awake
from exec_server.workers.spin import SPIN_SECONDS, Spin


class CountingSelector(selectors.DefaultSelector):
    """Counts how often the loop was about to sleep."""

    sleeps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.sleeps += timeout is None or timeout > 0
        return super().select(timeout)


@pytest.fixture
def selector() -> CountingSelector:
    return CountingSelector()


@pytest.fixture
def runner(selector: CountingSelector) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        yield runner


@pytest.fixture(autouse=True)
def _several_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awake, "_processors", lambda: 2)


async def _sleeps(selector: CountingSelector) -> int:
    """Return how often the loop sleeps while nothing happens."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    selector.sleeps = 0
    loop.call_later(0.03, reached.set_result, None)
    await reached
    return selector.sleeps


def _far() -> float:
    return asyncio.get_running_loop().time() + 3600


def test_it_looks_while_an_answer_is_due(
    runner: asyncio.Runner, selector: CountingSelector
) -> None:
    due = [True]

    async def run() -> None:
        keeps = Spin(lambda: due[0])
        keeps.answered(SPIN_SECONDS / 2)
        keeps.asked(_far())
        assert await _sleeps(selector) == 0
        due[0] = False
        assert await _sleeps(selector) > 0
        due[0] = True
        assert await _sleeps(selector) > 0  # nothing was asked
        keeps.asked(_far())
        assert await _sleeps(selector) == 0
        due[0] = False

    runner.run(run())


def test_it_looks_for_a_short_time(runner: asyncio.Runner, selector: CountingSelector) -> None:
    async def run() -> None:
        keeps = Spin(lambda: True)
        keeps.answered(0)
        keeps.asked(asyncio.get_running_loop().time())
        assert await _sleeps(selector) > 0

    runner.run(run())


@pytest.mark.parametrize("seconds", [SPIN_SECONDS, 1.0])
def test_after_an_answer_that_took_its_time_the_loop_sleeps(
    runner: asyncio.Runner, selector: CountingSelector, seconds: float
) -> None:
    async def run() -> None:
        keeps = Spin(lambda: True)
        keeps.answered(0)
        keeps.answered(seconds)
        keeps.asked(_far())
        assert await _sleeps(selector) > 0

    runner.run(run())


def test_with_one_processor_nobody_looks(
    runner: asyncio.Runner, selector: CountingSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awake, "_processors", lambda: 1)

    async def run() -> None:
        keeps = Spin(lambda: True)
        keeps.answered(0)
        keeps.asked(_far())
        assert await _sleeps(selector) > 0

    runner.run(run())
