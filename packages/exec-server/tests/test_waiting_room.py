"""Who loses a place when there are more strangers than places."""

from __future__ import annotations

from functools import partial

import pytest
from exec_server.transport.waiting_room import Place, WaitingRoom, source_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_source(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


def _enter(room: WaitingRoom, source: str, evicted: list[str], name: str) -> Place:
    return room.enter(source, lambda: evicted.append(name))


def test_the_oldest_of_the_busiest_source_goes_first() -> None:
    room = WaitingRoom(4)
    evicted: list[str] = []
    _enter(room, "other", evicted, "other")
    for number in range(10):
        _enter(room, "scanner", evicted, f"scanner{number}")
    assert evicted == [f"scanner{number}" for number in range(7)]
    assert len(room) == 4


def test_a_newcomer_counts_where_it_comes_from() -> None:
    room = WaitingRoom(2)
    evicted: list[str] = []
    _enter(room, "a", evicted, "a0")
    _enter(room, "b", evicted, "b0")
    _enter(room, "b", evicted, "b1")
    assert evicted == ["b0"]


def test_a_place_that_was_left_is_free_and_evicts_nobody() -> None:
    room = WaitingRoom(1)
    evicted: list[str] = []
    place = _enter(room, "a", evicted, "first")
    place.leave()
    place.leave()
    _enter(room, "a", evicted, "second")
    assert evicted == []
    place.leave()  # somebody else's by now
    assert len(room) == 1


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30))),
)
def test_there_are_never_more_than_there_are_places(
    capacity: int, steps: list[tuple[str, int]]
) -> None:
    room = WaitingRoom(capacity)
    inside: dict[int, Place] = {}
    for number, (source, leaver) in enumerate(steps):
        place = room.enter(source, partial(inside.__delitem__, number))
        inside[number] = place
        if leaver in inside:
            inside.pop(leaver).leave()
        assert len(room) == len(inside) <= capacity
    for place in inside.values():
        place.leave()
    assert len(room) == 0
    assert not room._places
