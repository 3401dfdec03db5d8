"""Memory to read into, kept instead of allocated for each read.

Memory of 256 KiB comes from the system and goes back to it every time, which takes as long
as handling a short request. Whoever reads takes what came out of it before anybody else
reads: so one piece serves all sockets of an event loop, and each thread has its own.
"""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["SCRATCH_BYTES", "scratch"]

SCRATCH_BYTES: Final = 256 * 1024
"""What one read may bring. Passing on so much takes a few tenths of a millisecond; then
others get their turn."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.memory = memoryview(bytearray(SCRATCH_BYTES))


_scratch: Final = _Scratch()


def scratch() -> memoryview:
    """Return the memory of this thread. Nothing in it lasts beyond the current callback."""
    return _scratch.memory
