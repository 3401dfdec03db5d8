"""Sandboxes with a network: a register of them, so that the server can recognise peers from inside.

A command in such a sandbox reaches every address of this machine, the server's own port included,
and what it asked for there would run unconfined. Each of them has a process namespace of its own,
which nobody inside can leave: it is what such a sandbox is known by.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final, NamedTuple

from .errors import SandboxUnavailableError

__all__ = ["LINGER_SECONDS", "Namespace", "NetworkedSandboxes", "sandboxes"]


class Namespace(NamedTuple):
    """A namespace of the kernel, by the device and the number of its file."""

    device: int
    inode: int


LINGER_SECONDS: Final = 10.0
"""How long one is remembered after its end. Somebody inside may connect, say everything and end
before the connection is accepted, which takes as long as the event loop has other things to do."""


class NetworkedSandboxes:
    """Networked sandboxes of this process. Methods may be called from any thread; none blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Namespace] = set()
        self._ended: dict[Namespace, float] = {}

    def add(self, pid: int) -> Namespace:
        """Remember a sandbox. To be called before anything of it runs.

        Args:
            pid: A process in it.

        Raises:
            SandboxUnavailableError: There is no such process any more.
        """
        try:
            status = os.stat(f"/proc/{pid}/ns/pid")
        except OSError as error:
            raise SandboxUnavailableError("a sandbox ended while it was set up") from error
        namespace = Namespace(status.st_dev, status.st_ino)
        with self._lock:
            self._running.add(namespace)
            self._ended.pop(namespace, None)  # the number of one that ended was given away again
        return namespace

    def end(self, namespace: Namespace | None) -> None:
        """Take a sandbox off the register, if it is on it: nothing runs in it any more."""
        if namespace is None:
            return
        with self._lock:
            self._running.discard(namespace)
            self._ended[namespace] = time.monotonic() + LINGER_SECONDS

    def now(self) -> frozenset[Namespace]:
        """Return the namespaces that a connection which is accepted now may come from."""
        if not self._running and not self._ended:  # nearly always, and no reason to lock
            return frozenset()
        with self._lock:
            at = time.monotonic()
            self._ended = {name: until for name, until in self._ended.items() if until > at}
            return frozenset(self._running | self._ended.keys())


sandboxes: Final = NetworkedSandboxes()
"""One for the process: any of its servers may be the one that is connected to."""
