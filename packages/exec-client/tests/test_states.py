"""The client's state table, walked over every (state, event) pair."""

from __future__ import annotations

from itertools import product

import pytest
from exec_client.connection.states import TRANSITIONS, ClientEvent, ClientState, advance
from exec_testkit.requirements import requirement


@requirement("CLIENT-INV-11")
@pytest.mark.parametrize(("state", "event"), list(product(ClientState, ClientEvent)))
def test_every_step_is_in_the_table_or_refused(state: ClientState, event: ClientEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=state.value):
            advance(state, event)


@requirement("CLIENT-INV-11")
def test_nothing_leads_out_of_failed_or_closed() -> None:
    assert not {s for s, _ in TRANSITIONS} & {ClientState.FAILED, ClientState.CLOSED}
