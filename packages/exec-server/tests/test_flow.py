"""The window of bytes in flight."""

from __future__ import annotations

from exec_server.transport.delivery_window import DeliveryWindow
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024 * 1024


def _send(flow: DeliveryWindow, total: int) -> list[bytes]:
    marks = [flow.count(64 * 1024) for _ in range(total // (64 * 1024))]
    return [mark for mark in marks if mark is not None]


def test_a_ping_is_due_for_every_mebibyte() -> None:
    assert len(_send(DeliveryWindow(16 * MIB), 10 * MIB)) == 10


def test_a_mark_is_due_when_asked_for_unless_one_is_under_way_or_all_has_arrived() -> None:
    flow = DeliveryWindow(4 * MIB)
    assert flow.mark() is None
    flow.count(100)
    mark = flow.mark()
    assert mark is not None
    flow.count(100)
    assert flow.mark() is None
    assert flow.pong(mark)
    assert flow.arrived == 100
    again = flow.mark()
    assert again is not None
    assert flow.pong(again)
    assert flow.arrived == 200
    assert flow.mark() is None


def test_the_window_fills_and_empties_with_the_pongs() -> None:
    flow = DeliveryWindow(4 * MIB)
    marks = _send(flow, 4 * MIB)
    assert [flow.full, flow.pong(marks[0]), flow.full] == [True, True, False]
    assert flow.arrived == MIB


@given(st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=40))
def test_a_window_never_fills_without_a_ping_that_could_empty_it(sizes: list[int]) -> None:
    flow = DeliveryWindow(4 * MIB)
    for size in sizes:
        was_full = flow.full
        mark = flow.count(size)
        if flow.full and not was_full:
            assert mark is not None
            assert flow.pong(mark)
            assert not flow.full


@given(st.integers(2, 3 * MIB), st.lists(st.integers(1, 3 * MIB), max_size=40))
def test_a_window_has_room_when_every_ping_is_answered(window: int, sizes: list[int]) -> None:
    flow = DeliveryWindow(window)
    marks = [mark for size in sizes if (mark := flow.count(size)) is not None]
    for mark in marks:
        flow.pong(mark)
    assert not flow.full


def test_pongs_that_were_never_asked_for_change_nothing() -> None:
    flow = DeliveryWindow(4 * MIB)
    marks = _send(flow, 2 * MIB)
    forged = [b"", b"hello", b"mark" + (2**63).to_bytes(8, "big"), b"xxxx" + marks[0][4:]]
    assert not any(flow.pong(payload) for payload in forged)
    assert flow.arrived == 0


def test_a_late_pong_never_moves_the_watermark_back() -> None:
    flow = DeliveryWindow(4 * MIB)
    first, second = _send(flow, 2 * MIB)
    assert flow.pong(second)
    assert not flow.pong(first)
    assert flow.arrived == 2 * MIB
