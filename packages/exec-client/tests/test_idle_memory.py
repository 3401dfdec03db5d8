"""When a client gives freed memory back to the system."""

from __future__ import annotations

import asyncio
import sys

import pytest
from exec_client.connection.idle_memory import QUIET_SECONDS, WORTH_BYTES, Carried, MemoryReturn
from exec_testkit.virtual_time import run

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="does nothing elsewhere"
)


class _Process:
    """The connections of a process, and how often memory was given back."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._carried = Carried()

    def connection(self, *, enabled: bool = True) -> MemoryReturn:
        return MemoryReturn(enabled=enabled, give_back=self._give_back, carried=self._carried)

    def _give_back(self) -> None:
        self.times.append(asyncio.get_running_loop().time())


def test_it_is_given_back_once_when_nothing_was_carried_for_a_while() -> None:
    async def main() -> None:
        process = _Process()
        memory = process.connection()
        for _ in range(30):  # a burst that lasts
            memory.carried(WORTH_BYTES // 4)
            await asyncio.sleep(1)
        over = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        assert len(process.times) == 1
        assert QUIET_SECONDS - 1 <= process.times[0] - over <= 2 * QUIET_SECONDS

    run(main())


def test_nothing_is_done_for_little_or_where_it_is_not_wanted_or_after_the_end() -> None:
    async def main() -> None:
        process = _Process()
        process.connection().carried(WORTH_BYTES - 1)
        await asyncio.sleep(100)
        process.connection(enabled=False).carried(WORTH_BYTES)
        await asyncio.sleep(100)
        ended = process.connection()
        ended.carried(WORTH_BYTES)
        ended.close()
        await asyncio.sleep(100)
        assert process.times == []

    run(main())


def test_connections_of_a_process_do_it_once_for_all_and_a_new_one_for_those_that_are_over() -> (
    None
):
    async def main() -> None:
        process = _Process()
        one, other = process.connection(), process.connection()
        one.carried(WORTH_BYTES)
        other.carried(WORTH_BYTES)
        await asyncio.sleep(100)
        assert len(process.times) == 1
        one.carried(WORTH_BYTES)
        one.close()
        other.carried(1)
        await asyncio.sleep(100)
        assert len(process.times) == 2

    run(main())
