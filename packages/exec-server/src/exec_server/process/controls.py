"""Controls of a running child: input, the size of its terminal, signals."""

from __future__ import annotations

import asyncio
import signal

from ..config import Limits
from ..launching.child_watch import ChildWatch
from ..launching.spawn import Child
from .signals import SIGNALS
from .stdin import CLOSED, StdinQueue
from .terminal import foreground_group, resize

__all__ = ["Controls"]


class Controls:
    """The controls of one child. Before it runs, and once it has ended, they do nothing.

    Args:
        tty: Whether it has a terminal.
        limits: Bounds of its queues.
    """

    def __init__(self, *, tty: bool, limits: Limits) -> None:
        self._tty = tty
        self._limits = limits
        self._stdin: StdinQueue | None = None
        self._terminal: int | None = None
        self._watch: ChildWatch | None = None
        self.pid = 0

    def started(self, child: Child, watch: ChildWatch) -> None:
        """Take over a running child."""
        self._watch = watch
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

    def kill(self) -> None:
        """Kill what is left of the group, and forget it once its leader has been reaped."""
        if self._watch is not None:
            self._watch.signal_group(signal.SIGKILL)
            if self._watch.reaped:
                self._watch.forget_group()
