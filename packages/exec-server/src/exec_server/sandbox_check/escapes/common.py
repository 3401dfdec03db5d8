"""Common parts of all attempts: their site, their registry, system calls by name."""

from __future__ import annotations

import ctypes
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Literal

__all__ = [
    "ESCAPED",
    "NEEDS",
    "PROBES",
    "REFUSED",
    "SECRET",
    "Need",
    "Probe",
    "Site",
    "check",
    "libc",
    "probe",
    "read",
    "system_call",
    "write",
]

ESCAPED: Final = 42
"""Exit status of an attempt that succeeded; nothing else exits with it by accident."""
REFUSED: Final = 0

SECRET: Final = "the-secret-of-the-server"  # noqa: S105 - told apart by being nothing else


@dataclass(frozen=True)
class Site:
    """Targets that attempts try to reach.

    Attributes:
        root: The writable folder; holds ``.git/hooks``, ``denied`` and ``sub/denied-file``.
        outside: A folder that cannot be written; holds ``file``.
        home: The user's home, as far as attempts go.
        server: Process id of whoever has ``SECRET`` in its environment and its memory.
        port: A TCP port of this machine, on which somebody listens.
        stream: A named socket, on which somebody listens.
        datagram: A named datagram socket.
        abstract: An abstract socket, on which somebody listens, without the leading NUL.
        shared: Number of a piece of shared memory.
    """

    root: str
    outside: str
    home: str
    server: int
    port: int
    stream: str
    datagram: str
    abstract: str
    shared: int

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))


Probe = Callable[[Site], object]
PROBES: Final[dict[str, Probe]] = {}
"""By name. Each returns what it got, or nothing; an ``OSError`` is a refusal as well."""

Need = Literal["always", "files", "reading", "denied", "protected", "network"]
"""What a policy has to promise for an attempt to be one: nothing (every policy that confines
anything refuses it), that what it does not name cannot be written, or cannot be read, that
what it denies is hidden, that protected names are, that there is no network."""
NEEDS: Final[dict[str, Need]] = {}
"""By name of the attempt."""


def probe(need: Need) -> Callable[[Probe], Probe]:
    """Register an attempt."""

    def register(function: Probe) -> Probe:
        PROBES[function.__name__] = function
        NEEDS[function.__name__] = need
        return function

    return register


libc: Final = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """Return a result of the C library.

    Raises:
        OSError: It was an error.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def system_call(x86_64: int, aarch64: int, *arguments: object) -> int:
    """Make a system call that the C library has no name for."""
    number = x86_64 if platform.machine() == "x86_64" else aarch64
    return check(libc.syscall(number, *arguments))


def write(path: str) -> str:
    """Append to a file. Returns that it went well."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("escaped\n")
    return f"wrote {path}"


def read(path: str) -> str | None:
    """Read a file. Returns that there was something in it."""
    with open(path, "rb") as file:
        return f"read {path}" if file.read(65536) else None
