"""The state tables of the server, walked over every (state, event) pair."""

from __future__ import annotations

from itertools import product

import pytest
from exec_server.process import states as process
from exec_server.rpc import states as connection
from exec_server.session.attachment import (
    TRANSITIONS,
    Attachment,
    AttachmentEvent,
    AttachmentState,
)
from exec_server.workers import states as worker
from exec_server_protocol._state_table import IllegalStepError


@pytest.mark.parametrize(
    ("state", "event"), list(product(process.ProcessState, process.ProcessEvent))
)
def test_every_step_of_a_process_is_in_the_table_or_refused(
    state: process.ProcessState, event: process.ProcessEvent
) -> None:
    if (state, event) in process.TRANSITIONS:
        assert process.advance(state, event) is process.TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=state.value):
            process.advance(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(worker.WorkerState, worker.WorkerEvent)))
def test_every_step_of_a_worker_is_in_the_table_or_refused(
    state: worker.WorkerState, event: worker.WorkerEvent
) -> None:
    if (state, event) in worker.TRANSITIONS:
        assert worker.advance(state, event) is worker.TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=state.value):
            worker.advance(state, event)


def test_a_closed_process_never_changes_again() -> None:
    assert not [step for step in process.TRANSITIONS if step[0] is process.ProcessState.CLOSED]


@pytest.mark.parametrize(
    ("state", "event"), list(product(connection.ConnectionState, connection.ConnectionEvent))
)
def test_every_step_of_a_connection_is_in_the_table_or_refused(
    state: connection.ConnectionState, event: connection.ConnectionEvent
) -> None:
    if (state, event) in connection.TRANSITIONS:
        assert connection.advance(state, event) is connection.TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=state.value):
            connection.advance(state, event)


def test_a_connection_can_be_closed_in_every_state_but_only_once() -> None:
    closing = {
        state
        for (state, event) in connection.TRANSITIONS
        if event is connection.ConnectionEvent.CLOSE
    }
    assert closing == set(connection.ConnectionState) - {connection.ConnectionState.CLOSED}


def _in_state(state: AttachmentState) -> Attachment:
    attachment = Attachment()
    if state is AttachmentState.ATTACHED:
        attachment.attach()
    elif state is AttachmentState.EXPIRED:
        attachment.expire()
    assert attachment.state is state
    return attachment


@pytest.mark.parametrize(("state", "event"), list(product(AttachmentState, AttachmentEvent)))
def test_every_step_of_an_attachment_is_in_the_table_or_leaves_it_alone(
    state: AttachmentState, event: AttachmentEvent
) -> None:
    attachment = _in_state(state)
    step = {
        AttachmentEvent.ATTACH: attachment.attach,
        AttachmentEvent.DETACH: lambda: attachment.detach(10.0),
        AttachmentEvent.EXPIRE: attachment.expire,
    }[event]
    if (state, event) in TRANSITIONS:
        step()
        assert attachment.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalStepError):
            step()
        assert attachment.state is state


def test_generations_count_attachments_and_never_return() -> None:
    attachment = Attachment()
    seen = []
    for _ in range(3):
        seen.append(attachment.attach())
        attachment.detach(1.0)
    assert seen == [1, 2, 3]


def test_the_instant_of_expiry_wins_over_a_resume_that_arrives_with_it() -> None:
    attachment = Attachment()
    attachment.attach()
    assert not attachment.has_expired(1e9)
    attachment.detach(30.0)
    assert not attachment.has_expired(29.999)
    assert attachment.has_expired(30.0)
    attachment.attach()
    assert not attachment.has_expired(31.0)


def test_a_deadline_over_which_the_server_stood_still_does_not_count() -> None:
    attachment = Attachment()
    attachment.attach()
    attachment.detach(30.0)
    assert not attachment.stood_still(30.5)
    assert attachment.stood_still(70.0)
    assert not attachment.has_expired(70.0)
    attachment.postpone(100.0)
    assert not attachment.has_expired(99.0)
    assert attachment.has_expired(100.0)
