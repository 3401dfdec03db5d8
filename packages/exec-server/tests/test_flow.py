"""The window of bytes in flight."""

from __future__ import annotations

from exec_server.connection.flow import FlowWindow

MIB = 1024 * 1024


def _send(flow: FlowWindow, total: int) -> list[bytes]:
    marks = [flow.count(64 * 1024) for _ in range(total // (64 * 1024))]
    return [mark for mark in marks if mark is not None]


def test_a_ping_is_due_for_every_mebibyte() -> None:
    assert len(_send(FlowWindow(16 * MIB), 10 * MIB)) == 10


def test_the_window_fills_and_empties_with_the_pongs() -> None:
    flow = FlowWindow(4 * MIB)
    marks = _send(flow, 4 * MIB)
    assert [flow.full, flow.pong(marks[0]), flow.full] == [True, True, False]
    assert flow.arrived == MIB


def test_pongs_that_were_never_asked_for_change_nothing() -> None:
    flow = FlowWindow(4 * MIB)
    marks = _send(flow, 2 * MIB)
    forged = [b"", b"hello", b"mark" + (2**63).to_bytes(8, "big"), b"xxxx" + marks[0][4:]]
    assert not any(flow.pong(payload) for payload in forged)
    assert flow.arrived == 0


def test_a_late_pong_never_moves_the_watermark_back() -> None:
    flow = FlowWindow(4 * MIB)
    first, second = _send(flow, 2 * MIB)
    assert flow.pong(second)
    assert not flow.pong(first)
    assert flow.arrived == 2 * MIB
