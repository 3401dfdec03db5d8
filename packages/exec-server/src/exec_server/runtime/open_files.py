"""The limit on open files: high for the server, as it was for its children.

A session with many processes, or many connections, needs more descriptors than the 1024 that
systems allow by default; the hard limit is there to be used by programs that do not call
``select``. Children may well call it, so they get the limit that the server was started with.
"""

from __future__ import annotations

import contextlib
import resource
from typing import Final

__all__ = ["open_files_limit", "raise_open_files_limit", "restore_open_files_limit"]

_ENOUGH: Final = 65_536
"""More than all limits of the server add up to; some systems have a hard limit of a billion,
and programs that close every possible descriptor."""

_original: tuple[int, int] | None = None


def open_files_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def raise_open_files_limit() -> None:
    """Raise the soft limit of this process towards the hard one. For the program only."""
    global _original
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _original = soft, hard


def restore_open_files_limit(pid: int) -> None:
    """Give a child that was just started the limit that the server was started with.

    Nothing can be done between ``vfork`` and ``exec``, so this comes a moment after the start.
    Not on systems other than Linux, where another process's limits cannot be set.
    """
    if _original is not None and hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError):  # it may have ended already
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _original)
