"""The life of a connection, as a table.

*New* until ``initialize`` succeeds: a failed one may be tried again on the same socket.
*Attached* once the connection holds a session: notifications flow, calls are refused until
the client has sent ``initialized``. *Ready* takes every call.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from exec_server_protocol._state_table import StateTable

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


TRANSITIONS: Final[StateTable[ConnectionState, ConnectionEvent]] = StateTable(
    "a connection",
    {
        (ConnectionState.NEW, ConnectionEvent.INITIALIZE): ConnectionState.ATTACHED,
        (ConnectionState.ATTACHED, ConnectionEvent.INITIALIZED): ConnectionState.READY,
        (ConnectionState.READY, ConnectionEvent.INITIALIZED): ConnectionState.READY,
        (ConnectionState.NEW, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
        (ConnectionState.ATTACHED, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
        (ConnectionState.READY, ConnectionEvent.CLOSE): ConnectionState.CLOSED,
    },
)
"""Every legal step. Repeating ``initialized`` is harmless, everything else is a fault."""

advance: Final = TRANSITIONS.advance
"""See ``StateTable.advance``."""
