"""Trees of processes that do what daemons, shells and hostile programs do to outlive an end.

This file is also the program that makes one: ``trees.py KIND TOKEN [ends]``. It says ``ready``
when every member is there, and stays, or ends with ``ends``. Each member has the token in its
command line.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["KINDS", "command", "members", "zombies_of"]

_SECONDS: Final = 120
"""A tree that nothing ends goes away by itself."""


def command(kind: str, token: str, *, ends: bool = False) -> list[str]:
    """Return the command that makes a tree."""
    interpreter = [sys.executable, "-S", "-E", "-B"]
    return [*interpreter, str(Path(__file__)), kind, token, *(["ends"] if ends else [])]


def members(token: str) -> list[int]:
    """Return the pids of a tree, zombies not."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if pid != os.getpid() and token.encode() in line.split(b"\0"):
            found.append(pid)
    return found


def zombies_of(parents: set[int]) -> list[int]:
    """Return the zombies that one of these processes has to reap."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] == b"Z" and int(fields[1]) in parents:
            found.append(int(pid))
    return found


# ---------------------------------------------------------------------- the program

_told, _tell = os.pipe() if __name__ == "__main__" else (-1, -1)


def _stay() -> NoReturn:
    time.sleep(_SECONDS)
    os._exit(0)


def _there() -> None:
    os.write(_tell, b".")


def _fork(*steps: Callable[[], object], quiet: bool = True) -> None:
    if os.fork():
        return
    if quiet:  # so that nobody waits for the end of its output
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
    for step in steps:
        step()
    _there()
    _stay()


def _orphan() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)


def _daemon() -> None:
    _orphan()
    os.chdir("/")
    _there()
    os.closerange(0, 256)
    code = f"import time; time.sleep({_SECONDS})"
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", code, sys.argv[2]], {})  # noqa: S606


def _ignore() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop() -> None:
    _there()
    os.kill(os.getpid(), signal.SIGSTOP)


def _restless() -> None:
    """Be another process every moment."""
    _there()
    end = time.monotonic() + _SECONDS / 4
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)


def _bomb() -> None:
    _there()
    for _ in range(6):
        os.fork()
    _stay()


def _many() -> None:
    for _ in range(500):
        _fork()


def _stubborn() -> None:
    _ignore()
    _fork()


def _alone() -> None:
    os.setpgid(0, 0)


KINDS: Final[dict[str, tuple[Callable[[], object], int]]] = {
    "child": (_fork, 1),
    "session": (lambda: _fork(os.setsid), 1),
    "orphan": (lambda: _fork(_orphan), 1),
    "nohup": (lambda: _fork(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)), 1),
    "daemon": (lambda: _fork(_daemon), 1),
    "stopped": (lambda: _fork(_stop), 1),
    "job": (lambda: _fork(_alone), 1),  # on a terminal
    "group": (lambda: _fork(_alone, _ignore), 1),
    "output": (lambda: _fork(quiet=False), 1),
    "many": (_many, 500),
    "bomb": (lambda: _fork(_bomb), 1),
    "restless": (lambda: _fork(_restless), 1),
    "restless session": (lambda: _fork(os.setsid, _restless), 1),
    "ignoring": (_stubborn, 1),
}
"""Kinds of trees: how each is made, and how many members say that they are there."""


def _main() -> None:
    make, count = KINDS[sys.argv[1]]
    make()
    while count > 0:
        count -= len(os.read(_told, 4096))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if "ends" in sys.argv:
        os._exit(0)
    _stay()


if __name__ == "__main__":
    _main()
