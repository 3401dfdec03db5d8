"""Size and foreground group of a terminal, from the side of the one who made it."""

from __future__ import annotations

import os
import termios

__all__ = ["foreground_group", "resize"]


def foreground_group(terminal: int) -> int | None:
    """Return the process group in the foreground, ``None`` when there is none."""
    try:
        group = os.tcgetpgrp(terminal)
    except OSError:
        return None
    return group if group > 0 else None


def resize(terminal: int, rows: int, cols: int) -> bool:
    """Set the size; the kernel sends SIGWINCH to the foreground group.

    Returns:
        Whether the terminal was still there.
    """
    try:
        termios.tcsetwinsize(terminal, (rows, cols))
    except OSError:
        return False
    return True
