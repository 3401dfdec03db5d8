"""The mounts outside: whether any has come or gone since a sandbox was made.

No sandbox receives them. What runs in one goes on without, but the next file request shall find
what has been mounted.
"""

from __future__ import annotations

import os
import select

__all__ = ["MountTable"]


class MountTable:
    """The mounts of this process, from now on. To be closed."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI | select.POLLERR)
        self._changed = False

    def is_unchanged(self) -> bool:
        """Return whether they are the same as at the beginning. Never blocks."""
        # The kernel reports a change once.
        self._changed = self._changed or self._descriptor < 0 or bool(self._poll.poll(0))
        return not self._changed

    def close(self) -> None:
        """Watch no more. Repeating it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
