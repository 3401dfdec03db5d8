"""Controls of a running child: input, the size of its terminal, signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

from ..config import Limits
from ..launching.child_watch import ChildWatch
from ..launching.spawn import Child
from ..launching.tree_end import TreeEnd
from ..runtime.trees import Leader, Tree
from .signals import SIGNALS
from .stdin import CLOSED, StdinQueue
from .terminal import foreground_group, resize

__all__ = ["Controls"]

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Controls:
    """The controls of one child. Before it runs, and once it has ended, they do nothing.

    Args:
        tty: Whether it has a terminal.
        limits: Bounds of its queues.
        trees: Ends what the child has started.
    """

    def __init__(self, *, tty: bool, limits: Limits, trees: TreeEnd) -> None:
        self._tty = tty
        self._limits = limits
        self._trees = trees
        self._mark = 0
        self._later: asyncio.TimerHandle | None = None
        self._stdin: StdinQueue | None = None
        self._terminal: int | None = None
        self._watch: ChildWatch | None = None
        self.pid = 0

    def started(self, child: Child, watch: ChildWatch) -> None:
        """Take over a running child."""
        self._watch = watch
        self._mark = child.mark
        self._terminal = child.terminal
        self.pid = watch.pid
        if child.stdin is not None:
            self._stdin = StdinQueue(
                child.stdin,
                is_terminal=self._tty,
                max_messages=self._limits.stdin_queue_messages,
                max_bytes=self._limits.stdin_queue_bytes,
            )

    def terminal_ended(self) -> None:
        """Nobody has the terminal open any more, and its descriptor is closed."""
        self._terminal = None

    def exited(self) -> None:
        """The child has been reaped."""
        if self._stdin is not None:
            self._stdin.break_()

    def write(self, write_id: str, data: bytes) -> str | asyncio.Future[str]:
        """Queue bytes for stdin. Returns the status, or a future while the queue is full."""
        if self._stdin is None:
            return CLOSED
        return self._stdin.write(write_id, data)

    def close_stdin(self) -> str:
        """End stdin after what was written so far. Returns the status."""
        if self._stdin is None:
            return CLOSED
        return self._stdin.end()

    def resize(self, rows: int, cols: int) -> bool:
        """Change the size of the terminal. Returns whether there is one."""
        if self._terminal is None:
            return False
        return resize(self._terminal, rows, cols)

    def send_signal(self, name: str) -> None:
        """Signal the process group, or a terminal's foreground group. Ended: does nothing."""
        if self._watch is None or self._watch.reaped:
            return
        number = SIGNALS[name]
        group = None if self._terminal is None else foreground_group(self._terminal)
        if group is None or group == self._watch.pid:
            self._watch.signal_group(number)
        else:
            self._watch.signal_foreground(group, number)

    def signal_group(self, number: int) -> bool:
        """Signal the whole group, whether or not its leader has ended; whether there was one."""
        return self._watch is not None and self._watch.signal_group(number)

    def forget_group(self) -> None:
        """Never signal the group again: it is known to have ended, after its leader."""
        if self._watch is not None:
            self._watch.forget_group()

    def leader(self) -> Leader | None:
        """Return what is known of the child that its tree begins with. Thread-safe."""
        watch = self._watch
        if watch is None:
            return None
        # In this order: what is not reaped now was not before.
        reaped = watch.reaped_at
        return Leader(watch.pid, None if reaped is None else int(reaped * _TICKS_PER_SECOND))

    def _tree(self) -> Tree:
        leader = self.leader()
        return Tree(self._mark, leaders=() if leader is None else (leader,))

    def signal_tree(self, number: int) -> None:
        """Send a signal to the group, and to all of the tree that has left it."""
        if self._watch is not None:
            self.signal_group(number)
            self._trees.signal(self._tree, number)

    def end_tree_later(self, grace: float, end: Callable[[], None]) -> None:
        """Ask the tree to end, and call ``end`` after so many seconds; it is ended by ``end_tree``.

        To be asked once more changes nothing about the time.
        """
        self.signal_tree(signal.SIGTERM)
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(grace, end)

    @property
    def ends_later(self) -> bool:
        """Whether the tree has been asked to end and will be ended."""
        return self._later is not None

    def end_tree(self) -> None:
        """Kill the group now, and all of the tree that has left it soon."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._watch is not None:
            self.kill()
            self._trees.end(self._tree)

    def kill(self) -> None:
        """Kill what is left of the group, and forget it once its leader has been reaped."""
        if self._watch is not None:
            self._watch.signal_group(signal.SIGKILL)
            if self._watch.reaped:
                self._watch.forget_group()
