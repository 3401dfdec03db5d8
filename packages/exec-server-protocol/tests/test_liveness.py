"""When a silent peer is asked, and when it is given up."""

from __future__ import annotations

from exec_server_protocol._liveness import Liveness, Verdict
from hypothesis import given
from hypothesis import strategies as st


def test_a_silent_peer_is_asked_once_and_then_gone() -> None:
    liveness = Liveness(20, 30, now=0)
    assert liveness.due == 10
    assert liveness.look(10) is Verdict.PING
    assert liveness.due == 20
    assert liveness.look(20) is Verdict.GONE


def test_any_byte_counts() -> None:
    liveness = Liveness(20, 30, now=0)
    liveness.heard(9)
    assert liveness.look(10) is Verdict.WAIT
    assert liveness.due == 19
    assert liveness.look(19) is Verdict.PING
    liveness.heard(28.5)
    assert liveness.look(29) is Verdict.WAIT
    assert liveness.due == 38.5


def test_who_was_stopped_itself_asks_again_before_it_judges() -> None:
    liveness = Liveness(20, 30, now=0)
    assert liveness.look(10) is Verdict.PING
    assert liveness.look(60) is Verdict.PING
    assert liveness.due == 65
    liveness.heard(61)
    assert liveness.look(65) is Verdict.WAIT
    assert liveness.look(71) is Verdict.PING
    assert liveness.look(81) is Verdict.GONE


def test_who_was_stopped_before_it_had_asked_leaves_time_for_an_answer() -> None:
    liveness = Liveness(20, 30, now=0)
    assert liveness.look(19.5) is Verdict.PING
    assert liveness.due == 24.5
    assert liveness.look(24.5) is Verdict.GONE


def test_without_a_timeout_nobody_is_ever_gone() -> None:
    liveness = Liveness(0, 30, now=0)
    for second in (30, 60, 90, 1000):
        assert liveness.look(second) is Verdict.PING
        assert liveness.due == second + 30


def test_who_does_not_read_goes_on_asking_and_gives_nobody_up_who_was_seen() -> None:
    liveness = Liveness(20, 30, now=0)
    for second in (10, 20, 30, 40):
        liveness.seen(second - 1)
        assert liveness.look(second) is Verdict.PING
        assert liveness.due == second + 10
    assert liveness.look(50) is Verdict.PING
    assert liveness.look(59) is Verdict.GONE


def test_frequent_pings_do_not_put_off_the_end() -> None:
    liveness = Liveness(20, 3, now=0)
    while liveness.look(now := liveness.due) is not Verdict.GONE:
        assert liveness.due > now
    assert now == 20


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=60),
    st.sampled_from([1.0, 20.0]),
    st.sampled_from([3.0, 30.0]),
)
def test_a_peer_that_answers_in_time_is_never_given_up_and_a_dead_one_always_is(
    steps: list[tuple[bool, float]], timeout: float, interval: float
) -> None:
    """Each step says whether a ping is answered, and by how much the look after it is late."""
    liveness = Liveness(timeout, interval, now=0)
    now = heard = 0.0
    for answers, late in [*steps, *([(False, 0.0)] * 8)]:
        now = max(now, liveness.due) + late
        verdict = liveness.look(now)
        if verdict is Verdict.GONE:
            assert now - heard >= timeout * 0.999999  # but for rounding
            return
        assert liveness.due > now
        if verdict is Verdict.PING and answers:
            heard = now + timeout / 10
            liveness.heard(heard)
    raise AssertionError("a dead peer was not given up")
