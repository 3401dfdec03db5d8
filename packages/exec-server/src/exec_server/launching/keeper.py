"""Keeper of running sandboxes: what is denied or protected stays so while commands run.

Outside, a name can be taken away with the mount that lies on it. The kernel reports that, and then
the sandbox is mended in a thread: its policy is looked at anew, and what is missing is mounted
inside. A command for which that does not work is ended.

Between the change and the mending, some hundredths of a second, what has come to that place can
be read or written: no system call replaces what a mount lies on and leaves the mount. A denied
folder whose *contents* are replaced has no such gap, because the mount lies on the folder.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from ..sandbox.mount_watch import MountWatcher
from .launch import Launch

__all__ = ["Keeper"]

logger = logging.getLogger(__name__)


class Keeper:
    """Watches over the running commands of a server. All methods run on the event loop.

    Args:
        submit: Runs something that may block in a thread.

    Attributes:
        watcher: For ``Launch.admit``.
    """

    def __init__(self, submit: Callable[[Callable[[], bool]], Future[bool]]) -> None:
        self.watcher = MountWatcher(announces=True)
        self._submit = submit
        self._kept: set[Launch] = set()
        self._mending: set[Launch] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def keep(self, launch: Launch) -> None:
        """Watch over a command; what has happened since it was compared with its plan counts."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.watcher.fileno(), self._look)
        self._kept.add(launch)
        self._look()

    def let_go(self, launch: Launch) -> None:
        """Watch over it no more."""
        self._kept.discard(launch)

    def close(self) -> None:
        """Watch over nothing."""
        self._kept.clear()
        if self._loop is not None:
            self._loop.remove_reader(self.watcher.fileno())
            self._loop = None
            self.watcher.close()

    def _look(self) -> None:
        self.watcher.calm()
        for launch in self._kept - self._mending:
            if not launch.is_intact():
                self._mending.add(launch)
                future = asyncio.wrap_future(self._submit(launch.mend))
                future.add_done_callback(partial(self._mended, launch))

    def _mended(self, launch: Launch, future: asyncio.Future[bool]) -> None:
        self._mending.discard(launch)
        if launch not in self._kept:
            return
        if future.cancelled() or future.exception() is not None or not future.result():
            self._kept.discard(launch)
            logger.warning("a path of its sandbox policy changed: a process is ended")
            launch.signal(signal.SIGKILL)
        elif self._loop is not None:
            self._look()  # what happened meanwhile has been announced already
