"""A state table takes the steps that it has, and refuses all others by name."""

from __future__ import annotations

from enum import Enum
from itertools import product

import pytest
from exec_server_protocol._state_table import IllegalStepError, StateTable


class Door(Enum):
    OPEN = "open"
    SHUT = "shut"


class Push(Enum):
    IN = "pushed in"
    OUT = "pushed out"


DOOR = StateTable("a door", {(Door.OPEN, Push.IN): Door.SHUT, (Door.SHUT, Push.OUT): Door.OPEN})


@pytest.mark.parametrize(("state", "event"), list(product(Door, Push)))
def test_a_step_is_in_the_table_or_refused(state: Door, event: Push) -> None:
    if (state, event) in DOOR:
        assert DOOR.advance(state, event) is DOOR[state, event]
    else:
        with pytest.raises(IllegalStepError, match=f"'{event.value}' .* a door .* {state.value}"):
            DOOR.advance(state, event)
