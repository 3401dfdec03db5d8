"""Input that waits for answers stays below what an executor lets wait."""

from __future__ import annotations

from contextlib import ExitStack

from exec_client.connection.input_share import MOST_BYTES, InputShare

_EXECUTOR_LETS_WAIT = 64 * 1024 * 1024
_PROCESSES = 1024


def test_a_few_processes_get_large_pieces() -> None:
    share = InputShare()
    with share.sending(16 * MOST_BYTES):
        assert share.piece == MOST_BYTES
    assert share.under_way == 0


def test_all_processes_of_a_session_may_read_nothing_and_there_is_room_for_more_requests() -> None:
    share = InputShare()
    with ExitStack() as waiting:
        for _ in range(_PROCESSES):
            assert share.piece > 0
            waiting.enter_context(share.sending(share.piece))
        assert share.under_way * 4 / 3 + _PROCESSES * 200 < _EXECUTOR_LETS_WAIT
    assert share.under_way == 0
