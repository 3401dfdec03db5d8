"""Details of a process beside its events, for a client that asked for ``details``."""

from __future__ import annotations

from ._model import WireModel
from ._names import OutputStream, ProcessId
from ._scalars import UnsignedInt
from .capabilities import CAPABILITY_DETAILS

__all__ = ["CAPABILITY_DETAILS", "ProcessStreamEndedNotification"]


class ProcessStreamEndedNotification(WireModel):
    """A stream is complete, and the process may live on. It takes no number of the sequence.

    It may be left out when the process closes: that says so of all of its streams. What was
    missed of it is in ``stream_ends``. Extension: ``processDetails``, when asked for.
    """

    process_id: ProcessId
    stream: OutputStream
    last_seq: UnsignedInt
    """No output of the stream has a higher number; 0 if there was no event before."""
