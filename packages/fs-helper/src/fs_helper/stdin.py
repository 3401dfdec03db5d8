"""Reading requests, and looking for the next one a little longer before going to sleep.

To wake a processor that sleeps takes longer than most operations do. So while requests follow
each other closely, the next one is looked for without sleeping.
"""

from __future__ import annotations

import os
import select
import time
from typing import Final

__all__ = ["AWAKE_SECONDS", "Stdin"]

_STDIN: Final = 0
_READ_BYTES: Final = 96 * 1024
"""What one read may bring: several frames, or a part of a large one. From 128 KiB on, the
memory for it would come from the system and go back to it with each read, which takes longer
than looking at a file."""

AWAKE_SECONDS: Final = 0.0004
"""From an answer to the next request: as long as a client on the same machine needs."""

_yield: Final = getattr(os, "sched_yield", lambda: None)
"""Somebody else may need the processor more. Not every system has it."""


class Stdin:
    """Descriptor 0, blocking."""

    def __init__(self) -> None:
        os.set_blocking(_STDIN, True)
        self._poll = select.poll()
        self._poll.register(_STDIN, select.POLLIN)
        self._spinning = False
        self._alone = _processors() < 2  # whoever sends requests needs one, too

    def read(self) -> bytes:
        """Return what there is, as soon as there is something; nothing at the end.

        Raises:
            OSError: As the system says.
        """
        since = time.monotonic()
        if self._spinning:
            until = since + AWAKE_SECONDS
            while not self._poll.poll(0) and time.monotonic() < until:
                _yield()
        data = os.read(_STDIN, _READ_BYTES)
        self._spinning = not self._alone and time.monotonic() - since < AWAKE_SECONDS
        return data


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
