"""Output of finished processes in memory, over all sessions: the oldest of it goes to disk.

It is kept for half a minute for whoever may still read it, which nobody does as a rule. A server
that runs many commands would hold a megabyte of each for that long, and more after a busy
minute than it needs otherwise.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["FinishedOutput", "Rests"]

IN_MEMORY_BYTES: Final = 4 * 1024 * 1024
"""Together. What is written to disk beyond it is read again from there, should anybody ask."""
_WORTH_BYTES: Final = 64 * 1024
"""Of one process: less is not worth a descriptor and a write."""


class Rests(Protocol):
    """Output that no more is added to."""

    def rest(self) -> None:
        """Go to disk, if there is room."""


class FinishedOutput:
    """Choice of the output that goes to disk, and of the moment. Pure.

    Args:
        max_bytes: That may stay in memory.
    """

    def __init__(self, max_bytes: int = IN_MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._sizes: dict[Rests, int] = {}
        self._total = 0

    def add(self, output: Rests, size: int) -> None:
        """Count output of ``size`` bytes; the oldest rests once there is too much."""
        if size < _WORTH_BYTES:
            return
        self._sizes[output] = size
        self._total += size
        while self._total > self._max_bytes:
            oldest = next(iter(self._sizes))
            self.discard(oldest)
            oldest.rest()

    def discard(self, output: Rests) -> None:
        """Count it no more: it is gone, or on disk."""
        self._total -= self._sizes.pop(output, 0)
