"""Segments of output on disk, and the store that puts output there."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from exec_server.output.retained import Chunk
from exec_server.output.spool import SEGMENT_BYTES, DiskBudget, Segment, Spool
from exec_server.output.store import LARGEST_READ_BYTES, OutputStore
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1024 * 1024
STREAMS = (b"stdout", b"stderr", b"pty")


@contextmanager
def _spool(max_bytes: int, directory: Path | None = None) -> Iterator[Spool]:
    spool = Spool(max_bytes, str(directory) if directory else None)
    try:
        yield spool
    finally:
        spool.close()


def _chunks(sizes: list[int], first: int = 1) -> list[Chunk]:
    return [
        Chunk(seq, STREAMS[seq % 3], bytes([seq % 251]) * size, seq << 40, seq << 33)
        for seq, size in enumerate(sizes, first)
    ]


@given(
    st.lists(st.lists(st.integers(1, 90_000), min_size=1, max_size=8), min_size=1, max_size=5),
    st.integers(0, 45),
)
@settings(max_examples=40, deadline=None)
def test_a_segment_gives_back_what_was_written(batches: list[list[int]], after_seq: int) -> None:
    with _spool(10**9) as spool:
        segment = Segment(spool)
        everything: list[Chunk] = []
        for sizes in batches:
            batch = _chunks(sizes, len(everything) + 1)
            segment.write(batch)
            everything += batch
        assert list(segment.read(after_seq)) == [c for c in everything if c.seq > after_seq]
        assert segment.payload == sum(len(c.data) for c in everything)
        assert (segment.first_seq, segment.last_seq) == (1, len(everything))
        segment.close()


def test_segments_have_no_name_and_nobody_else_can_open_them(tmp_path: Path) -> None:
    with _spool(10**9, tmp_path) as spool:
        descriptor = spool.create()
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(descriptor).st_mode & 0o777 == 0o600
        assert os.fstat(descriptor).st_nlink == 0
        os.close(descriptor)


def test_where_files_need_a_name_it_is_gone_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)  # as on macOS, and on some file systems
    with _spool(10**9, tmp_path) as spool:
        segment = Segment(spool)
        assert list(tmp_path.iterdir()) == []
        chunks = _chunks([100, 200])
        segment.write(chunks)
        assert list(segment.read(0)) == chunks
        segment.close()


@asynccontextmanager
async def _store(
    *, memory: int = MIB, disk: int = 64 * MIB, total: int = 10**9, hold_up: bool = False
) -> AsyncIterator[tuple[OutputStore, Spool, asyncio.Event]]:
    room = asyncio.Event()
    with _spool(total) as spool:
        store = OutputStore(
            memory, DiskBudget(disk, spool.budget), spool, hold_up=hold_up, on_room=room.set
        )
        try:
            yield store, spool, room
        finally:
            store.close()
            await store.wait_closed()


async def _write(store: OutputStore, chunks: list[Chunk], room: asyncio.Event) -> None:
    """Append as a pump does: wait while the store is full."""
    async with asyncio.timeout(20):
        for chunk in chunks:
            while store.full:
                room.clear()
                await room.wait()
            store.append(chunk)


async def _read(store: OutputStore, after_seq: int, max_bytes: int | None) -> list[Chunk]:
    store.claim(after_seq)
    answer = store.read(after_seq, max_bytes)
    async with asyncio.timeout(20):
        return await answer if isinstance(answer, asyncio.Future) else answer


async def test_a_detached_process_keeps_everything_up_to_its_budget_and_is_read_in_pages() -> None:
    chunks = _chunks([200_000] * 150)
    async with _store() as (store, _spool, room):
        await _write(store, chunks, room)
        found: list[Chunk] = []
        while page := await _read(store, found[-1].seq if found else 0, 3 * MIB):
            assert sum(len(c.data) for c in page) <= 3 * MIB
            found += page
        assert found == chunks


async def test_reading_gives_the_disk_space_back() -> None:
    chunks = _chunks([200_000] * 150)
    async with _store() as (store, spool, room):
        await _write(store, chunks, room)
        assert spool.budget.used > 10 * MIB
        assert await _read(store, chunks[-1].seq, None) == []
        assert spool.budget.used <= 2 * SEGMENT_BYTES
    assert spool.budget.used == 0


async def test_a_cursor_beyond_everything_claims_nothing() -> None:
    chunks = _chunks([200_000] * 50)
    async with _store() as (store, _spool, room):
        await _write(store, chunks, room)
        assert await _read(store, 10**6, None) == []
        assert await _read(store, 0, None) == chunks
        assert store.arrival.seq == 0
        assert await _read(store, chunks[-1].seq + 2, None) == []
        assert store.arrival.seq == chunks[-1].seq + 2


async def test_beyond_the_budget_the_oldest_output_goes_first_and_the_rest_has_no_hole() -> None:
    chunks = _chunks([250_000] * 200)
    async with _store(disk=20 * MIB) as (store, _spool, room):
        await _write(store, chunks, room)
        found = await _read(store, 0, 10**9)
        assert found == chunks[-len(found) :]
        assert sum(len(c.data) for c in found) > 10 * MIB
        assert store.size <= 26 * MIB


async def test_a_read_without_a_budget_answers_with_the_newest_part_that_fits() -> None:
    chunks = _chunks([250_000] * 200)
    async with _store() as (store, _spool, room):
        await _write(store, chunks, room)
        found = await _read(store, 0, None)
        assert found == chunks[-len(found) :]
        size = sum(len(c.data) for c in found)
        assert LARGEST_READ_BYTES - 300_000 < size <= LARGEST_READ_BYTES


async def test_output_in_flight_stays_in_memory_and_costs_no_disk() -> None:
    chunks = _chunks([100_000] * 100)
    async with _store() as (store, spool, room):
        store.attached(1)
        for position, chunk in enumerate(chunks, 1):
            store.arrival.sent(chunk.seq, position * 100_000, live=True)
            store.append(chunk)
        assert store.size == 100 * 100_000
        assert spool.budget.used == 0
        store.arrival.confirm(10**9)
        store.trim()
        assert MIB <= store.size < MIB + 100_000
        assert not room.is_set()


async def test_what_was_in_flight_is_kept_when_the_link_dies() -> None:
    chunks = _chunks([100_000] * 100)
    async with _store() as (store, _spool, room):
        store.attached(1)
        for position, chunk in enumerate(chunks[:50], 1):
            store.arrival.sent(chunk.seq, position * 100_000, live=True)
            store.append(chunk)
        store.detached()
        await _write(store, chunks[50:], room)
        assert await _read(store, 0, 10**9) == chunks


async def test_a_process_that_asked_for_it_is_held_up_instead_of_losing_output() -> None:
    chunks = _chunks([100_000] * 120)
    async with _store(disk=4 * MIB, hold_up=True) as (store, _spool, room):
        writer = asyncio.ensure_future(_write(store, chunks, room))
        found: list[Chunk] = []
        async with asyncio.timeout(20):
            while len(found) < len(chunks):
                page = await _read(store, found[-1].seq if found else 0, MIB)
                found += page
                if not page:
                    await asyncio.sleep(0)
        await writer
        assert found == chunks


async def test_without_any_disk_the_newest_mebibyte_is_kept() -> None:
    chunks = _chunks([100_000] * 50)
    async with _store(total=0) as (store, _spool, room):
        await _write(store, chunks, room)
        found = await _read(store, 0, None)
        assert found == chunks[-11:]


async def test_the_budget_of_the_server_is_shared_and_never_exceeded() -> None:
    with _spool(16 * MIB) as spool:
        room = asyncio.Event()
        stores = [
            OutputStore(
                MIB, DiskBudget(64 * MIB, spool.budget), spool, hold_up=False, on_room=room.set
            )
            for _ in range(4)
        ]
        for store in stores:
            await _write(store, _chunks([100_000] * 100), room)
            assert spool.budget.used <= 16 * MIB
        for store in stores:
            found = await _read(store, 0, 10**9)
            assert [c.seq for c in found] == list(range(101 - len(found), 101))
            store.close()
            await store.wait_closed()
    assert spool.budget.used == 0


async def test_the_budget_of_a_session_leaves_room_for_other_sessions() -> None:
    with _spool(64 * MIB) as spool:
        room = asyncio.Event()
        session = DiskBudget(12 * MIB, spool.budget)
        other = DiskBudget(12 * MIB, spool.budget)

        def store(budget: DiskBudget) -> OutputStore:
            share = DiskBudget(64 * MIB, budget)
            return OutputStore(MIB, share, spool, hold_up=False, on_room=room.set)

        stores = [store(session) for _ in range(3)]
        for one in stores:
            await _write(one, _chunks([100_000] * 200), room)
            assert session.used <= 12 * MIB
        late = store(other)
        await _write(late, _chunks([100_000] * 100), room)
        assert [c.seq for c in await _read(late, 0, 10**9)] == list(range(1, 101))
        for one in [*stores, late]:
            one.close()
            await one.wait_closed()
        assert (session.used, other.used, spool.budget.used) == (0, 0, 0)


async def test_output_byte_by_byte_waits_for_the_disk_before_it_fills_the_memory() -> None:
    chunks = _chunks([1] * 300_000)
    async with _store() as (store, _spool, room):
        most = 0
        async with asyncio.timeout(30):
            for chunk in chunks:
                while store.full:
                    room.clear()
                    await room.wait()
                store.append(chunk)
                most = max(most, len(store._pending))
        assert most < 40_000
        found: list[Chunk] = []
        while page := await _read(store, found[-1].seq if found else 0, 4 * MIB):
            assert len(page) < 200_000  # the answer would take a hundred times their size
            found += page
        assert found == chunks


async def test_an_answer_that_takes_everything_is_bounded_for_tiny_chunks_too() -> None:
    chunks = _chunks([1] * 300_000)
    async with _store() as (store, _spool, room):
        await _write(store, chunks, room)
        found = await _read(store, 0, None)
        assert 100_000 < len(found) < 200_000
        assert found == chunks[-len(found) :]


async def test_a_disk_that_takes_nothing_leaves_the_memory_and_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chunks = _chunks([100_000] * 100)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with _store() as (store, spool, room):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
            await _write(store, chunks, room)
            found = await _read(store, 0, None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert found == chunks[-11:]
        assert spool.budget.used == 0
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["no more output of detached sessions fits on disk: File too large"]


async def test_back_pressure_ends_when_the_output_was_read_though_the_disk_is_of_no_use() -> None:
    chunks = _chunks([100_000] * 120)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with _store(hold_up=True) as (store, _spool, room):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
            writer = asyncio.ensure_future(_write(store, chunks, room))
            found: list[Chunk] = []
            async with asyncio.timeout(20):
                while len(found) < len(chunks):
                    found += await _read(store, found[-1].seq if found else 0, MIB)
                    await asyncio.sleep(0)
            await writer
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert found == chunks


async def test_a_disk_that_fills_up_drops_the_oldest_output_and_no_more() -> None:
    chunks = _chunks([100_000] * 300)
    with _spool(10**9) as spool:
        room = asyncio.Event()
        free = [12 * MIB]

        class Full(Segment):
            """On a disk with ``free`` bytes left."""

            def write(self, batch: Iterable[Chunk]) -> None:
                before = self.size
                size = sum(len(chunk.data) + 13 for chunk in batch)
                if size > free[0]:
                    raise OSError(errno.ENOSPC, "full")
                super().write(batch)
                free[0] -= self.size - before

            def close(self) -> None:
                free[0] += self.size
                super().close()

        store = OutputStore(
            MIB, DiskBudget(64 * MIB, spool.budget), spool, hold_up=False, on_room=room.set
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("exec_server.output.store.Segment", Full)
            await _write(store, chunks, room)
            found = await _read(store, 0, 10**9)
        assert found == chunks[-len(found) :]
        assert sum(len(chunk.data) for chunk in found) > 2 * MIB
        store.close()
        await store.wait_closed()
        assert spool.budget.used == 0


def _finished(spool: Spool, chunks: list[Chunk], *, disk: int = 64 * MIB) -> OutputStore:
    store = OutputStore(
        MIB, DiskBudget(disk, spool.budget), spool, hold_up=False, on_room=lambda: None
    )
    for chunk in chunks:
        store.append(chunk)
    store.finish()
    return store


async def test_the_oldest_output_of_finished_processes_goes_to_disk_and_can_be_read() -> None:
    chunks = _chunks([100_000] * 10)
    with _spool(10**9) as spool:
        stores = [_finished(spool, chunks) for _ in range(10)]
        for store in stores:
            await store.wait_closed()  # written
        assert sum(store.in_memory for store in stores) <= 4 * MIB
        assert stores[0].in_memory == 0
        assert stores[-1].in_memory == 1_000_000
        for store in stores:
            assert store.size == 1_000_000
            assert await _read(store, 0, 10 * MIB) == chunks
            assert await _read(store, 5, 10 * MIB) == chunks[5:]
            assert await _read(store, 0, None) == chunks
            assert store.has_after(9)
            assert not store.has_after(10)
        assert spool.budget.used > 5_000_000
        for store in stores:
            store.close()
        assert spool.budget.used == 0
        late = _finished(spool, chunks)
        assert late.in_memory == 1_000_000  # those that are closed count no more
        late.close()


@pytest.mark.parametrize("why", ["budget", "disk"])
async def test_output_of_finished_processes_stays_in_memory_where_it_finds_no_room(
    why: str, tmp_path: Path
) -> None:
    chunks = _chunks([100_000] * 10)
    with _spool(10**9, tmp_path / "none" if why == "disk" else None) as spool:
        stores = [_finished(spool, chunks, disk=50_000 if why == "budget" else 64 * MIB)]
        stores += [_finished(spool, chunks) for _ in range(4)]
        for store in stores:
            await store.wait_closed()
        assert spool.budget.used == 0
        assert await _read(stores[0], 0, 10 * MIB) == chunks
        for store in stores:
            store.close()


async def test_output_that_is_in_flight_rests_when_it_has_arrived() -> None:
    chunks = _chunks([100_000] * 30)
    with _spool(10**9) as spool:
        store = OutputStore(
            MIB, DiskBudget(64 * MIB, spool.budget), spool, hold_up=False, on_room=lambda: None
        )
        store.attached(1)
        for chunk in chunks:
            store.append(chunk)
            store.arrival.sent(chunk.seq, chunk.seq, live=True)
        store.finish()
        others = [_finished(spool, _chunks([100_000] * 10)) for _ in range(5)]
        await store.wait_closed()
        assert store.in_memory == 3_000_000
        store.arrival.confirm(30)
        store.trim()
        await store.wait_closed()
        assert store.in_memory == 0
        assert (await _read(store, 0, 10 * MIB))[-10:] == chunks[-10:]
        for one in [store, *others]:
            one.close()


async def test_output_that_is_let_go_of_while_it_goes_to_disk_leaves_nothing_there() -> None:
    with _spool(10**9) as spool:
        stores = [_finished(spool, _chunks([100_000] * 10)) for _ in range(10)]
        for store in stores:
            store.close()
        for store in stores:
            await store.wait_closed()
        assert spool.budget.used == 0
