"""The state of a client over all its connections, as a table.

*Connected*: calls use the current generation. *Recovering*: it was lost, calls wait, the
session is being resumed. *Failed* is for ever, and so is its message. *Closed* is what the
caller did. Only the loss of the *current* generation starts a recovery: what older ones
still report changes nothing, so that is no event of this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from exec_server_protocol._state_table import StateTable

__all__ = ["TRANSITIONS", "ClientEvent", "ClientState", "StateChange", "advance"]


class ClientState(Enum):
    """State of a client."""

    CONNECTED = "connected"
    RECOVERING = "recovering"
    FAILED = "failed"
    CLOSED = "closed"


class ClientEvent(Enum):
    """Event in the life of a client."""

    LOST = "the current connection was lost"
    RESUMED = "the session was resumed"
    GAVE_UP = "the session cannot be resumed"
    CLOSE = "the caller closed it"


TRANSITIONS: Final[StateTable[ClientState, ClientEvent]] = StateTable(
    "a client",
    {
        (ClientState.CONNECTED, ClientEvent.LOST): ClientState.RECOVERING,
        (ClientState.RECOVERING, ClientEvent.RESUMED): ClientState.CONNECTED,
        (ClientState.RECOVERING, ClientEvent.GAVE_UP): ClientState.FAILED,
        (ClientState.CONNECTED, ClientEvent.CLOSE): ClientState.CLOSED,
        (ClientState.RECOVERING, ClientEvent.CLOSE): ClientState.CLOSED,
    },
)
"""Every legal step. Nothing leads out of failed or closed."""

advance: Final = TRANSITIONS.advance
"""See ``StateTable.advance``."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """One step of a client.

    Attributes:
        old: State before.
        new: State after.
        reason: Why, for people; empty for a resumption.
        at: Time of the event loop, in seconds.
        recovered_bytes: Output that was missed, after a resumption; it may still be on its way.
    """

    old: ClientState
    new: ClientState
    reason: str
    at: float
    recovered_bytes: int = 0
