"""Live output after a resume, until the client has caught up."""

from __future__ import annotations

import asyncio

from exec_server.output.catch_up_throttle import (
    FIRST_PAGE_SECONDS,
    MAX_BYTES,
    MAX_EVENTS,
    WAIT_SECONDS,
    CatchUpThrottle,
)
from exec_testkit.virtual_time import run


def _full(ahead: CatchUpThrottle) -> bool:
    """Ask anew: type checkers take a property for constant."""
    return ahead.full


def test_a_process_is_held_up_by_bytes_or_events_until_its_client_has_read() -> None:
    async def main() -> None:
        room: list[None] = []
        for size, times in ((MAX_BYTES // 4, 4), (1, MAX_EVENTS)):
            ahead = CatchUpThrottle(lambda: room.append(None))
            ahead.attached(11)
            for _ in range(times):
                assert not _full(ahead)
                ahead.happened(size)
            assert _full(ahead)
            ahead.answered(9)
            assert _full(ahead)
            ahead.answered(10)
            assert not _full(ahead)
            ahead.happened(10**9)
            assert not _full(ahead)
        assert len(room) == 2

    run(main())


def test_a_client_that_never_reads_is_waited_for_a_while_and_no_longer() -> None:
    async def main() -> None:
        loop_time = asyncio.get_running_loop().time
        freed: list[float] = []
        ahead = CatchUpThrottle(lambda: freed.append(loop_time()))
        ahead.attached(11)
        ahead.happened(MAX_BYTES)
        await asyncio.sleep(60)
        assert freed == [WAIT_SECONDS]
        assert not _full(ahead)

    run(main())


def test_a_process_without_a_past_is_never_held_up() -> None:
    async def main() -> None:
        ahead = CatchUpThrottle(lambda: None)
        ahead.attached(1)
        ahead.happened(10**9)
        assert not _full(ahead)
        ahead.attached(5)
        ahead.happened(10**9)
        assert _full(ahead)
        ahead.release()  # the connection is lost
        assert not _full(ahead)

    run(main())


def test_a_client_that_pages_holds_the_process_up_for_as_long_as_it_takes() -> None:
    async def main() -> None:
        loop_time = asyncio.get_running_loop().time
        freed: list[float] = []
        ahead = CatchUpThrottle(lambda: freed.append(loop_time()))
        ahead.hold()
        ahead.happened(MAX_BYTES)
        ahead.asked()
        ahead.answered(10**9)
        await asyncio.sleep(50)
        assert _full(ahead)
        ahead.release()
        assert freed == [50]
        assert not _full(ahead)

    run(main())


def test_a_process_that_nobody_pages_is_not_held_up_for_long() -> None:
    async def main() -> None:
        loop_time = asyncio.get_running_loop().time
        freed: list[float] = []
        ahead = CatchUpThrottle(lambda: freed.append(loop_time()))
        ahead.hold()
        ahead.happened(MAX_BYTES)
        await asyncio.sleep(50)
        assert freed == [FIRST_PAGE_SECONDS]
        assert not _full(ahead)

    run(main())
