"""The life of a connection, as a table.

*New* until ``initialize`` succeeds: a failed one may be tried again on the same socket.
*Attached* once the connection holds a session: notifications flow, calls are refused until
the client has sent ``initialized``. *Ready* takes every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["TRANSITIONS", "ConnectionEvent", "ConnectionState", "advance"]


class ConnectionState(Enum):
    """State of a connection: it says which requests are allowed."""

    NEW = "new"
    ATTACHED = "attached"
    READY = "ready"
    CLOSED = "closed"


class ConnectionEvent(Enum):
    """Event in the life of a connection."""

    INITIALIZE = "initialize succeeded"
    INITIALIZED = "initialized received"
    CLOSE = "connection closed"


TRANSITIONS: Final[Mapping[tuple[ConnectionState, ConnectionEvent], ConnectionState]] = {
    (ConnectionState.NEW, ConnectionEvent.INITIALIZE): ConnectionState.ATTACHED,
    (ConnectionState.ATTACHED, ConnectionEvent.INITIALIZED): ConnectionState.READY,
    (ConnectionState.READY, ConnectionEvent.INITIALIZED): ConnectionState.READY,
    (ConnectionState.NEW, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
    (ConnectionState.ATTACHED, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
    (ConnectionState.READY, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
}
"""Every legal step. Repeating ``initialized`` is harmless, everything else is a fault."""


def advance(state: ConnectionState, event: ConnectionEvent) -> ConnectionState:
    """Return the state after ``event``.

    Raises:
        ValueError: The step is not in the table.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(
            f"{event.value} cannot happen on a connection that is {state.value}"
        ) from None
