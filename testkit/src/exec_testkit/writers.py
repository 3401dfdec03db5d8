"""Programs whose output a test can compute: a byte that is lost, doubled or moved shows.

Every line begins with the program's process id, so one that was started again shows as well.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Final

__all__ = ["Writer"]

_SIGTERM: Final = 15
_BLOCK: Final = 1 << 18

_PROGRAM: Final = f"""
import os, random, signal, sys, time
seed, lines, largest = map(int, sys.argv[1:4])
block = random.Random(0).randbytes({_BLOCK})
rng = random.Random(seed)
pid = os.getpid()

def write(fd, data):
    while data:
        data = data[os.write(fd, data):]

for number in range(lines):
    fd = 1 if rng.random() < 0.7 else 2
    size = rng.randrange(largest)
    at = rng.randrange({_BLOCK} - size)
    write(fd, b"%d %06d " % (pid, number) + block[at : at + size] + b"\\n")
    if rng.random() < 0.3:
        time.sleep(rng.random() / 100)
end = rng.randrange(4)
if end == 0:  # somebody else keeps the pipes open and writes after the exit
    if os.fork() == 0:
        time.sleep(0.02)
        write(1, b"%d late\\n" % pid)
        os._exit(0)
if end == 1:
    os.kill(pid, signal.SIGTERM)
    signal.pause()
os._exit(seed % 100)
"""


@dataclass(frozen=True, slots=True)
class Writer:
    """One such program.

    Attributes:
        seed: Decides everything about it.
        lines: How many lines it writes, to stdout and stderr.
        largest: Bytes of the longest one, about.
    """

    seed: int
    lines: int = 30
    largest: int = 200

    @property
    def argv(self) -> list[str]:
        """How to start it."""
        numbers = (str(n) for n in (self.seed, self.lines, self.largest))
        return [sys.executable, "-I", "-S", "-c", _PROGRAM, *numbers]

    def expected(self, pid: int) -> tuple[bytes, bytes, int]:
        """Return its stdout, its stderr and its exit code, given its process id."""
        block = random.Random(0).randbytes(_BLOCK)  # noqa: S311 - repeatable is what matters
        rng = random.Random(self.seed)  # noqa: S311
        parts: dict[int, list[bytes]] = {1: [], 2: []}
        for number in range(self.lines):
            fd = 1 if rng.random() < 0.7 else 2
            size = rng.randrange(self.largest)
            at = rng.randrange(_BLOCK - size)
            parts[fd].append(b"%d %06d " % (pid, number) + block[at : at + size] + b"\n")
            if rng.random() < 0.3:
                rng.random()
        end = rng.randrange(4)
        if end == 0:
            parts[1].append(b"%d late\n" % pid)
        code = 128 + _SIGTERM if end == 1 else self.seed % 100
        return b"".join(parts[1]), b"".join(parts[2]), code
