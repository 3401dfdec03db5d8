"""A server whose event loop is watched: what holds the loop, and for how long.

``LoopWatch`` is the test's side. This module, run as a program, is the server's: the real
``exec-server``, in which the time of each callback of the event loop is taken. Time is the
*processor time of the loop's thread*: on a machine with other work, seconds pass in which a
thread does nothing, and a callback that copied a byte would seem to have held the loop. What it
does not see is waiting, such as for a disk. Collections of garbage are noted apart: they meet
whichever callback makes the next object.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["Held", "LoopWatch", "at_this_speed"]

_FILE_VARIABLE: Final = "EXEC_TESTKIT_LOOP_WATCH"
_COLLECTION: Final = "collection of generation"
_NOTED_SECONDS: Final = 0.002
"""Shorter ones are not written down."""
_OBJECTS: Final = 100_000
_OBJECTS_SECONDS: Final = 0.0065
"""For making so many, on the machines that the bounds of tests are for."""
_READINGS: Final = 3
"""Of which the slowest counts: what makes a machine slow comes and goes within milliseconds."""


def at_this_speed(seconds: float) -> float:
    """Return a bound of processor time as it is here and now, never less than ``seconds``.

    What takes the time of a large request is making objects, and that depends on the memory of
    the machine: beside other work, or where memory is short, it takes several times as long.
    """
    slowest = _OBJECTS_SECONDS
    for _ in range(_READINGS):
        began = time.thread_time()
        made = [str(number) for number in range(_OBJECTS)]
        slowest = max(slowest, time.thread_time() - began)
        del made
    return seconds * slowest / _OBJECTS_SECONDS


class Held(NamedTuple):
    """One callback that held the loop.

    Attributes:
        seconds: Of processor time.
        what: The callback.
    """

    seconds: float
    what: str


class LoopWatch:
    """Hears what holds the loop of a server that is started with ``command`` and ``env``."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115
        self.command = [sys.executable, "-m", __name__, "--exit-on-stdin-close"]
        self.env = {**os.environ, _FILE_VARIABLE: self._file.name}

    def forget(self) -> None:
        """Begin anew: what was done until now was only done for the first time."""
        os.truncate(self._file.name, 0)
        self._file.seek(0)

    def longest(self) -> Held:
        """Return the callback that held the loop longest since ``forget``."""
        return max(self._noted(collections=False), default=Held(0.0, "nothing"))

    def longest_collection(self) -> Held:
        """Return the collection of garbage that held the loop longest since ``forget``."""
        return max(self._noted(collections=True), default=Held(0.0, "nothing"))

    def _noted(self, *, collections: bool) -> list[Held]:
        self._file.seek(0)
        found = [Held(float(first), rest) for first, _, rest in map(_parted, self._file)]
        return [held for held in found if held.what.startswith(_COLLECTION) is collections]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _parted(line: str) -> tuple[str, str, str]:
    return line.rstrip("\n").partition(" ")


def _note(descriptor: int, seconds: float, what: str) -> None:
    if seconds >= _NOTED_SECONDS:
        os.write(descriptor, f"{seconds:.6f} {what[:200]}\n".encode())


class _Collections:
    """Takes the time of collections in the loop's thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread = threading.get_ident()
        self._started = 0.0
        self.seconds = 0.0
        gc.callbacks.append(self._called)

    def _called(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._started = time.thread_time()
            return
        seconds = time.thread_time() - self._started
        self.seconds += seconds
        _note(self._descriptor, seconds, f"{_COLLECTION} {info['generation']}")


def _watched(run: Callable[[Any], None], descriptor: int) -> Callable[[Any], None]:
    collections = _Collections(descriptor)

    def timed(handle: Any) -> None:
        started = time.thread_time() - collections.seconds
        run(handle)
        seconds = time.thread_time() - collections.seconds - started
        what = getattr(handle._callback, "__qualname__", None) or repr(handle._callback)
        _note(descriptor, seconds, what)

    return timed


def _main() -> None:
    from exec_server.cli import main  # not for the tests that only want LoopWatch

    descriptor = os.open(os.environ.pop(_FILE_VARIABLE), os.O_WRONLY | os.O_APPEND)
    # Both kinds of handles have this method. The loop has no hook that would tell as much.
    run = getattr(asyncio.Handle, "_run")  # noqa: B009 - private, so unknown to type checkers
    setattr(asyncio.Handle, "_run", _watched(run, descriptor))  # noqa: B010 - as above
    sys.exit(main())


if __name__ == "__main__":
    _main()
