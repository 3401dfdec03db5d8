"""The life of a worker, as a table.

*Starting* until it has said that it is ready; requests wait in this process until then.
*Running* as long as it may be asked. *Ending* once it may not: its input has ended, or it
was killed. *Ended* when the child has been reaped; until then it counts, since a child that
is stuck in the kernel does not end when it is killed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from exec_server_protocol._state_table import StateTable

__all__ = ["TRANSITIONS", "WorkerEvent", "WorkerState", "advance"]


class WorkerState(Enum):
    """State of a worker."""

    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"


class WorkerEvent(Enum):
    """Event in the life of a worker."""

    READY = "said that it is ready"
    CLOSE = "closed, failed or killed"
    REAPED = "reaped"


TRANSITIONS: Final[StateTable[WorkerState, WorkerEvent]] = StateTable(
    "a worker",
    {
        (WorkerState.STARTING, WorkerEvent.READY): WorkerState.RUNNING,
        (WorkerState.STARTING, WorkerEvent.CLOSE): WorkerState.ENDING,
        (WorkerState.RUNNING, WorkerEvent.CLOSE): WorkerState.ENDING,
        (WorkerState.ENDING, WorkerEvent.REAPED): WorkerState.ENDED,
    },
)
"""Every legal step. A child that ends by itself is closed first, then reaped."""

advance: Final = TRANSITIONS.advance
"""See ``StateTable.advance``."""
