"""Ending trees: what a child has started is looked for and killed until nothing of it is left.

The group of the child is killed at once, on the event loop, by whoever asks for the end. What has
left that group is found here, in a thread: looking at all processes of a machine takes some
milliseconds. Everybody who waits for an end shares the looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from ..runtime.marks import mark_of
from ..runtime.processes import Seen, read_process, read_processes, send_signal
from ..runtime.threads import BlockingThreads
from ..runtime.trees import Tree, members

__all__ = ["TreeEnd"]

logger = logging.getLogger(__name__)

_SECONDS: Final = 10.0
"""Until it is given up: only what is stuck in the kernel, or another user's, lives so long."""
_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.1
"""Between looks, doubled from one to the next."""
_CLEAN_LOOKS: Final = 2
"""After something was found: what had just been started may have been missed by the first."""


_CAN_LOOK: Final = sys.platform == "linux"
"""Elsewhere groups are all that is ended."""


class _End:
    """One end that is asked for."""

    __slots__ = ("clean", "deadline", "done", "found", "number", "tree")

    def __init__(self, tree: Callable[[], Tree], number: int) -> None:
        self.tree = tree
        self.number = number
        self.deadline = time.monotonic() + _SECONDS
        self.found = False
        self.clean = 0
        self.done: Future[None] = Future()


class TreeEnd:
    """Ends trees, for all sessions of a server. Its one thread runs while there is one to end."""

    def __init__(self) -> None:
        self._threads = BlockingThreads(1, "exec-server-trees")
        self._asked: list[_End] = []
        self._lock = threading.Lock()
        self._looking = False
        self._closed = False
        self._waits: set[asyncio.Future[None]] = set()
        self._own = os.getpid()
        self._spared = frozenset({self._own, os.getppid()})

    def end(self, tree: Callable[[], Tree]) -> asyncio.Future[None]:
        """Kill all members of a tree, until there are none.

        Args:
            tree: Returns what is known of it; called in the thread, after each look.

        Returns:
            A future that is done then, or when that is given up.
        """
        return self._ask(_End(tree, signal.SIGKILL))

    def signal(self, tree: Callable[[], Tree], number: int) -> asyncio.Future[None]:
        """Send a signal once to all members that one look finds, but for the leaders' groups.

        Args:
            tree: As for ``end``.
            number: Of the signal, other than SIGKILL.
        """
        return self._ask(_End(tree, number))

    def _ask(self, end: _End) -> asyncio.Future[None]:
        future = asyncio.wrap_future(end.done)
        if self._closed or not _CAN_LOOK:
            end.done.set_result(None)
            return future
        self._waits.add(future)
        future.add_done_callback(self._waits.discard)
        with self._lock:
            self._asked.append(end)
            if not self._looking:
                self._looking = True
                self._threads.submit(self._work)
        return future

    async def wait(self) -> None:
        """Wait for all ends that were asked for. The caller sets the bound."""
        while self._waits:
            await asyncio.wait(self._waits)

    def close(self) -> None:
        """Look for nothing new. What is asked for from now on is done at once."""
        self._closed = True
        self._threads.close()

    # ------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        ends: list[_End] = []
        pause = _PAUSE_SECONDS
        looked = 0.0
        while True:
            with self._lock:
                new, self._asked = self._asked, []
                if not ends and not new:
                    self._looking = False
                    return
            # For a new one a look comes soon, and still half of the time belongs to others.
            pause = _PAUSE_SECONDS if new else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if looked:
                time.sleep(max(pause, looked))
            ends += new
            started = time.monotonic()
            try:
                ends = self._look(ends)
            except OSError as error:  # too many open files, for example: the next look may do
                logger.warning("cannot look for processes: %s", error.strerror)
                ends = [end for end in ends if not self._is_over(end)]
            looked = time.monotonic() - started

    def _is_over(self, end: _End) -> bool:
        if end.clean >= (_CLEAN_LOOKS if end.found else 1):
            end.done.set_result(None)
            return True
        if time.monotonic() > end.deadline:
            logger.warning("some members of a process's tree could not be ended")
            end.done.set_result(None)
            return True
        return False

    def _look(self, ends: list[_End]) -> list[_End]:
        seen = self._see([end.tree() for end in ends if end.number == signal.SIGKILL])
        for end in ends:
            tree = end.tree()  # once more: a leader may have been reaped meanwhile
            alive = [p for p in members(seen, tree, self._own, self._spared) if not p.ended]
            if end.number != signal.SIGKILL:
                led = {leader.pid for leader in tree.leaders}
                for process in alive:
                    if process.group not in led:  # these have it already
                        send_signal(process, end.number)
                end.clean = 1
            elif alive:
                end.found, end.clean = True, 0
                self._kill(alive)
            else:
                end.clean += 1
        return [end for end in ends if not self._is_over(end)]

    def _see(self, trees: list[Tree]) -> list[Seen]:
        """Look at all processes, and kill who is known by its mark at once: it may be gone soon."""
        seen = read_processes()
        leaders = {leader.pid for tree in trees for leader in tree.leaders}
        for process in seen:
            if process.ended or process.pid in self._spared:
                continue
            process.mark = mark_of(process.pid)
            is_helper = process.parent == self._own and process.pid not in leaders
            if not is_helper and any(tree.has(process.mark) for tree in trees):
                self._kill([process])
        return seen

    def _kill(self, found: list[Seen]) -> None:
        groups = set()
        for process in found:
            if process.group not in groups and process.group > 1:
                groups.add(process.group)
                # A whole group at once is more than one that forks can outrun. Its number is its
                # own as long as one of its members is there.
                now = read_process(process.pid)
                is_same = now is not None and now.started == process.started
                if is_same and process.group != os.getpgrp():
                    with contextlib.suppress(OSError):
                        os.killpg(process.group, signal.SIGKILL)
            send_signal(process, signal.SIGKILL)
