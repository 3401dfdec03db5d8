"""Details of a process, sent only to a client that asked for them. Pure.

The end of a stream takes no number of the sequence: it is the number of the last event before
it. So a client that missed it can get it at any time, and the sequence is the same for everybody.
"""

from __future__ import annotations

import json

__all__ = ["Details"]


class Details:
    """Members that are added to the answers about one process.

    Args:
        wanted: Whether its start asked for them.

    Attributes:
        signal: What ended it; ``None`` for no signal, or an unknown one.
        stream_ends: The streams that are complete, and the number of the last event before
            the end of each.
    """

    __slots__ = ("signal", "stream_ends", "wanted")

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self.signal: int | None = None
        self.stream_ends: dict[str, int] = {}

    @property
    def signal_told(self) -> int | None:
        """The signal, for a client that asked."""
        return self.signal if self.wanted else None

    def of_start(self, pid: int) -> bytes:
        """Return the members of the answer to the start, as JSON behind others."""
        return b',"pid":%d' % pid if self.wanted else b""

    def of_state(self) -> bytes:
        """Return the members of an answer about its state, as JSON behind others."""
        if not self.wanted:
            return b""
        members = b',"streamEnds":%b' % json.dumps(self.stream_ends).encode()
        return members if self.signal is None else members + b',"signal":%d' % self.signal
