"""The server's end of what ties it to its supervisor.

A pipe: the supervisor says first which control group it puts the server into, if any, and whether
it has, and then nothing more. When it ends, the supervisor has been killed, and the server does
what is left of its work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable
from typing import Final

from .runtime.cgroups import Group

__all__ = ["Supervision"]

logger = logging.getLogger(__name__)

_WAIT_SECONDS: Final = 1.0
"""For the supervisor to say what it has done: it is done before the server is loaded."""
_SAID_BYTES: Final = 8192
"""A path, and what little comes beside it."""


class Supervision:
    """The supervisor, as the server knows it.

    Args:
        pipe: To be read.

    Attributes:
        means: What ends all processes when the server is killed: ``group`` or ``supervisor``.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._ended = False
        self._group: Group | None = None
        os.set_blocking(pipe, False)
        said = self._hear()
        if len(said) > 1:
            self._group = Group(os.fsdecode(said[0]))
        self.means = "group" if said[-1:] == [b"+"] else "supervisor"

    def _hear(self) -> list[bytes]:
        """Return the lines that the supervisor has said, all of them unless it was killed."""
        said = b""
        while not said.endswith((b"+\n", b"-\n")):
            if not select.select([self._pipe], [], [], _WAIT_SECONDS)[0]:
                break
            part = os.read(self._pipe, _SAID_BYTES)
            if not part:
                return [*said.split(b"\n")[:-1], b"-"]
            said += part
        return said.split(b"\n")[:-1]

    def watch(self, on_end: Callable[[], None]) -> None:
        """Call back when the supervisor has ended."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            if not os.read(self._pipe, _SAID_BYTES):
                loop.remove_reader(self._pipe)
                logger.warning("the supervisor was killed: stopping")
                self._ended = True
                on_end()

        loop.add_reader(self._pipe, readable)

    def close(self) -> None:
        """Do what the supervisor would have done, if it was killed. The server is closed."""
        if self._group is None or not (self._ended or self._has_ended()):
            return
        group, above = self._group, Group(os.path.dirname(self._group.path))
        if above.add(os.getpid()):  # else it would be killed with the others
            group.kill()
        group.remove_soon()

    def _has_ended(self) -> bool:
        try:
            return not os.read(self._pipe, _SAID_BYTES)
        except BlockingIOError:
            return False
