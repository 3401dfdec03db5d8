"""Room for open files is waited for, given back, and never lost."""

from __future__ import annotations

import asyncio
import errno

import pytest
from exec_client.session.file_slots import (
    GIVE_UP_SECONDS,
    OWN_SLOTS,
    SHARED_SLOTS,
    HandleSlots,
)
from exec_testkit.virtual_time import run

_ROOM = {True: OWN_SLOTS, False: SHARED_SLOTS}


@pytest.mark.parametrize("own", [True, False])
def test_four_times_as_many_as_there_is_room_for_get_it_one_after_the_other(own: bool) -> None:
    async def main() -> None:
        slots = HandleSlots()
        now = most = 0

        async def use() -> None:
            nonlocal now, most
            slot = await slots.take(own=own)
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1
            slot.release()
            slot.release()  # again: it gives back nothing

        async with asyncio.TaskGroup() as group:
            for _ in range(4 * _ROOM[own]):
                group.create_task(use())
        assert most == _ROOM[own]

    run(main())


def test_a_cancelled_wait_takes_no_room() -> None:
    async def main() -> None:
        slots = HandleSlots()
        held = [await slots.take(own=True) for _ in range(OWN_SLOTS)]
        waiting = [asyncio.ensure_future(slots.take(own=True)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        held[0].release()  # for the second of them
        held[1].release()  # for the third, which is cancelled when it has just got it
        waiting[2].cancel()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [True, False, True]
        async with asyncio.timeout(1):
            await slots.take(own=True)

    run(main())


def test_who_waits_for_what_nobody_gives_back_is_told_in_the_end() -> None:
    async def main() -> None:
        slots = HandleSlots()
        for _ in range(SHARED_SLOTS):
            await slots.take(own=False)
        began = asyncio.get_running_loop().time()
        with pytest.raises(OSError, match="open files") as caught:
            await slots.take(own=False)
        assert caught.value.errno == errno.EMFILE
        assert asyncio.get_running_loop().time() - began >= GIVE_UP_SECONDS
        await slots.take(own=True)  # the others have room of their own

    run(main())


def test_a_reader_that_nobody_uses_makes_room_for_others() -> None:
    async def main() -> None:
        slots = HandleSlots()
        held = [await slots.take(own=False) for _ in range(SHARED_SLOTS)]

        def give_up() -> bool:
            held.pop().release()
            return True

        slots.used(give_up)
        async with asyncio.timeout(1):
            await slots.take(own=False)
        assert len(held) == SHARED_SLOTS - 1

    run(main())
