"""The life of a process, as a table.

A process is *starting* from the moment its id is reserved: a second start with the same id
is refused before the first has spawned. *Exited* means that the main process has been
reaped; a grandchild may still hold its pipes and write. *Closed* means that the output is
complete as well. A start that fails or is cancelled goes straight to closed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from exec_server_protocol._state_table import StateTable

__all__ = ["TRANSITIONS", "ProcessEvent", "ProcessState", "advance"]


class ProcessState(Enum):
    """State of a process. Values are the words of ``process/list``."""

    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    CLOSED = "closed"


class ProcessEvent(Enum):
    """Event in the life of a process."""

    SPAWNED = "spawned"
    SPAWN_FAILED = "spawn failed"
    EXIT = "exit"
    OUTPUT_COMPLETE = "output complete"


TRANSITIONS: Final[StateTable[ProcessState, ProcessEvent]] = StateTable(
    "a process",
    {
        (ProcessState.STARTING, ProcessEvent.SPAWNED): ProcessState.RUNNING,
        (ProcessState.STARTING, ProcessEvent.SPAWN_FAILED): ProcessState.CLOSED,
        (ProcessState.RUNNING, ProcessEvent.EXIT): ProcessState.EXITED,
        (ProcessState.EXITED, ProcessEvent.OUTPUT_COMPLETE): ProcessState.CLOSED,
    },
)
"""Every legal step. Pipes that reach their end before the exit change nothing."""

advance: Final = TRANSITIONS.advance
"""See ``StateTable.advance``."""
