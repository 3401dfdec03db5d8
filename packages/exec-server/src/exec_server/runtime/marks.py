"""Marks: numbers that a child hands down to all that it starts, whatever those do to get away.

A process that has left its group, its session and its parents behind is not known by any of these.
It still has the limits that it was started with: they pass every fork and every program, and no
variable has to be added that a program would see, could lose, or would overwrite. The limit on the
number of file locks has had no meaning since Linux 2.4.25, and everybody may read it. Its soft
value is the mark.

A mark is a number of this server, one of a session and one of a process. A program that sets that
limit itself, or a login that sets all, takes it off; Linux only, and gVisor refuses it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from typing import Final

__all__ = [
    "PROCESS_BITS",
    "SessionMarks",
    "mark_before_start",
    "mark_of",
    "set_mark",
    "started_with",
    "unmarked",
]

_LOCKS: Final = 10
"""RLIMIT_LOCKS of getrlimit(2), which Python has no name for."""
_SERVER_BITS: Final = 24
_SESSION_BITS: Final = 20
PROCESS_BITS: Final = 18
"""62 bits in all. After a million sessions of a server, and a quarter of a million processes of a
session, numbers are used again, but for those of sessions that are kept."""

_starting: Final = threading.Lock()
"""While a child is started with a mark, no other thread starts one that would have it, too."""
_before_start = False


def mark_before_start() -> None:
    """Have children born with their mark. For the program only.

    The limit is that of this process for the time of a start. In a program that embeds a server,
    others may start something meanwhile, which shall not be taken for what a client has started.
    There it is set a moment after the start.
    """
    global _before_start
    _before_start = True


class SessionMarks:
    """The marks of one session."""

    _server: Final = int.from_bytes(os.urandom(4), "big") % ((1 << _SERVER_BITS) - 1) + 1
    _live: Final[set[int]] = set()
    _last = 0

    def __init__(self) -> None:
        number = SessionMarks._last
        while (number := (number + 1) % (1 << _SESSION_BITS)) in self._live:
            pass  # there are far fewer sessions than numbers
        SessionMarks._last = number
        self._live.add(number)
        self._number = number
        self._processes = 0
        self.used = False

    @property
    def common(self) -> int:
        """What all marks of the session have above the bits of the process."""
        return self._server << _SESSION_BITS | self._number

    def next(self) -> int:
        """Return the mark of one more process."""
        self.used = True
        self._processes = (self._processes + 1) % (1 << PROCESS_BITS)
        return self.common << PROCESS_BITS | self._processes

    def close(self) -> None:
        """Let the number be used again: nothing of the session lives."""
        self._live.discard(self._number)


@contextlib.contextmanager
def started_with(mark: int) -> Iterator[None]:
    """Have children that are started in this block be born with a mark."""
    if not (mark and _before_start):
        yield
        return
    with _starting:
        before = _set(0, mark)
        try:
            yield
        finally:
            if before is not None:
                resource.setrlimit(_LOCKS, before)


@contextlib.contextmanager
def unmarked() -> Iterator[None]:
    """Have children that another thread starts in this block be born without a mark."""
    with _starting:
        yield


def set_mark(pid: int, mark: int) -> None:
    """Mark a child that was just started, if it was not born so."""
    if mark and not _before_start:
        _set(pid, mark)


def _set(pid: int, number: int) -> tuple[int, int] | None:
    try:
        before = resource.prlimit(pid, _LOCKS)
        resource.prlimit(pid, _LOCKS, (number, before[1]))
    except (OSError, ValueError, AttributeError):  # ended, refused, or not Linux
        return None
    return before


def mark_of(pid: int) -> int:
    """Return the mark of a process; 0 for none, or none that can be told."""
    try:
        soft, _ = resource.prlimit(pid, _LOCKS)
    except ProcessLookupError:
        return 0
    except (OSError, AttributeError):
        return _read(pid)  # another user's by now
    return max(soft, 0)


def _read(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            for line in file:
                if line.startswith("Max file locks"):
                    soft = line.split()[3]
                    return int(soft) if soft.isdigit() else 0
    except (OSError, ValueError):
        pass
    return 0
