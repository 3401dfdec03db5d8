"""Memory to read into, kept instead of allocated for each read.

Memory of 256 KiB comes from the system and goes back to it every time, which takes as long
as handling a short request. Whoever reads takes what came out of it before anybody else
reads: so one piece serves all sockets of an event loop, and each thread has its own.
"""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["SCRATCH_BYTES", "keep_freed_memory", "scratch"]

SCRATCH_BYTES: Final = 257 * 1024
"""What one read may bring: a quarter of the largest block of a file with its header. Passing on
so much takes a few tenths of a millisecond; then others get their turn."""

_KEPT_BYTES: Final = 2 * 1024 * 1024
"""Longer than the text of a block, 1.4 MB."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.memory = memoryview(bytearray(SCRATCH_BYTES))


_scratch: Final = _Scratch()


def scratch() -> memoryview:
    """Return the memory of this thread. Nothing in it lasts beyond the current callback."""
    return _scratch.memory


def keep_freed_memory() -> None:
    """Have the allocator keep what is freed, up to some megabytes, for what is needed next.

    glibc takes long pieces of memory from the system and gives them back when they are freed.
    Each page then costs a fault when it is touched again, and that takes longer than filling
    it: half of what it costs to answer with a block of a file. What counts as long rises to the
    longest such piece that was freed (``mallopt(3)``, ``M_MMAP_THRESHOLD``), so one is made
    and freed here. Other allocators do not mind.
    """
    piece = bytes(_KEPT_BYTES)
    del piece
