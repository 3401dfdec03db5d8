"""What a client is known to have."""

from __future__ import annotations

from exec_server.output.arrival import Arrival
from hypothesis import given
from hypothesis import strategies as st


def test_live_events_have_arrived_once_the_watermark_has_passed_them() -> None:
    arrival = Arrival()
    arrival.attached(1)
    arrival.sent(1, 100_000, live=True)
    arrival.sent(2, 200_000, live=True)
    assert not arrival.has(1)
    arrival.confirm(150_000)
    assert arrival.has(1)
    assert not arrival.has(2)
    assert arrival.seq == 1


def test_live_events_of_a_new_connection_do_not_prove_that_older_ones_were_caught_up() -> None:
    arrival = Arrival()
    arrival.attached(1)
    arrival.sent(1, 10, live=True)
    arrival.detached()
    arrival.attached(6)
    arrival.sent(6, 500, live=True)
    arrival.confirm(1000)
    assert arrival.has(6)
    assert not arrival.has(5)
    assert arrival.seq == 0
    arrival.claimed(5)
    assert arrival.seq == 6


def test_an_answer_has_arrived_with_the_watermark_and_not_when_it_was_sent() -> None:
    arrival = Arrival()
    arrival.attached(10)
    arrival.sent(9, 5000, live=False)
    assert not arrival.has(9)
    arrival.confirm(4999)
    assert not arrival.has(9)
    arrival.confirm(5000)
    assert arrival.seq == 9


def test_what_was_in_flight_when_the_connection_died_is_not_confirmed_by_the_next_one() -> None:
    arrival = Arrival()
    arrival.attached(1)
    arrival.sent(1, 100, live=True)
    arrival.detached()
    arrival.attached(2)
    arrival.confirm(10**9)
    assert not arrival.has(1)


@given(st.lists(st.tuples(st.integers(1, 300_000), st.integers(0, 10**7)), max_size=60))
def test_nothing_counts_as_arrived_before_the_watermark_passed_it(
    steps: list[tuple[int, int]],
) -> None:
    arrival = Arrival()
    arrival.attached(1)
    position = 0
    confirmed = 0
    positions: dict[int, int] = {}
    for seq, (size, confirm) in enumerate(steps, 1):
        position += size
        positions[seq] = position
        arrival.sent(seq, position, live=True)
        confirmed = max(confirmed, min(confirm, position))
        arrival.confirm(confirmed)
        assert all(positions[s] <= confirmed for s in positions if arrival.has(s))
    arrival.confirm(position)
    assert all(arrival.has(seq) for seq in positions)
