"""The gate of a sandbox: what bubblewrap says, and what it waits for before it runs the command.

bubblewrap reads the system call filter last, and runs nothing without one: writing it opens the
gate. What tells that everything is mounted is that bubblewrap has read, and closed, the descriptor
that it blocks on; there is a byte in it from the beginning.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from typing import Final

from ..sandbox.errors import SandboxUnavailableError

__all__ = ["Gate"]

_STATUS_BYTES: Final = 4096
"""What bubblewrap reports about itself: a few hundred bytes in all."""


class Gate:
    """Our ends of bubblewrap's descriptors. To be closed; methods are called one at a time.

    Attributes:
        theirs: Its own ends: ``--json-status-fd``, ``--block-fd``, ``--seccomp``. The caller
            closes them.
    """

    def __init__(self) -> None:
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for _ in range(3):
                read, write = os.pipe()
                ours.append(read)
                theirs.append(write)
            # The first is written by bubblewrap, the others are read by it.
            for index in (1, 2):
                ours[index], theirs[index] = theirs[index], ours[index]
            os.write(ours[1], b"-")
        except BaseException:
            for descriptor in (*ours, *theirs):
                os.close(descriptor)
            raise
        self._status, self._ready, self._filter = ours
        self._said = b""
        self.theirs = tuple(theirs)

    def wait_until_set_up(self, deadline: float) -> int:
        """Return the first process inside, when everything is mounted.

        Args:
            deadline: When to give up, by the monotonic clock.

        Raises:
            SandboxUnavailableError: It has failed, or takes too long.
        """
        poll = select.poll()
        poll.register(self._ready, 0)  # an error: nobody holds the other end any more
        poll.register(self._status, select.POLLIN)
        ready = False
        while not (ready and b"\n" in self._said):
            left = deadline - time.monotonic()
            if left <= 0:
                raise SandboxUnavailableError("bubblewrap took too long to set up a sandbox")
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == self._ready:
                    ready = True
                    poll.unregister(self._ready)
                elif data := os.read(self._status, _STATUS_BYTES):
                    self._said += data
                else:
                    raise SandboxUnavailableError("bubblewrap could not set up a sandbox")
        try:
            return int(json.loads(self._said.split(b"\n")[0])["child-pid"])
        except (ValueError, KeyError, TypeError) as error:
            raise SandboxUnavailableError("bubblewrap does not say what it has started") from error

    def open(self, code: bytes) -> None:
        """Let the command run, under a system call filter."""
        with contextlib.suppress(BrokenPipeError):  # it was killed: its end will tell
            os.write(self._filter, code)
        os.close(self._filter)
        os.close(self._ready)
        self._filter = self._ready = -1

    def has_run(self) -> bool:
        """Return whether a command has run, once bubblewrap has ended."""
        os.set_blocking(self._status, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._status, _STATUS_BYTES):
                self._said += data
        return b'"exit-code"' in self._said

    def close(self) -> None:
        """Close what is open."""
        for descriptor in (self._status, self._ready, self._filter):
            if descriptor >= 0:
                os.close(descriptor)
