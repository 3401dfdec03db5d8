"""Learning that a child has ended, and signalling its group without hitting a stranger.

Each child leads a process group whose number is its pid. As long as the child has not been
reaped, the number belongs to it. Afterwards others may get it, so that a late signal must
know whether it still means the same group: where the kernel can signal the group of a
*pidfd* (Linux 6.9), that handle is kept and settles it; elsewhere the number counts as
reused as soon as a process with it exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["ChildWatch"]

_PIDFD_SIGNAL_PROCESS_GROUP: Final = 1 << 2
"""Flag of pidfd_send_signal(2): the whole group, not one process."""

_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock by which the kernel notes when a process started."""

_FIRST_LOOK_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 2.0
"""Between looks at a group that outlives its leader: nothing reports a group's end, and the
handle is a descriptor. The waits double; a look is one system call."""


def _nobody(_code: int, _signal: int | None) -> None:
    pass


class ChildWatch:
    """Owns a child's pid: reports the exit once, then remembers whether its group lives on.

    Args:
        popen: The child, not yet reaped.
        on_exit: Called on the event loop with the exit code: 0 to 255, or 128 + N when
            signal N ended the child, with N behind it; ``None`` for no signal.
        signal_inside: Sends a signal to the command that the child confines, so that the
            child outlives it and can tell how it ended. Returns whether there is one.
            ``None`` for a child that confines nothing.

    Attributes:
        reaped_at: Since when its number may be another's, in seconds since the boot; ``None`` while
            it is its own.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        on_exit: Callable[[int, int | None], None],
        signal_inside: Callable[[int], bool] | None = None,
    ) -> None:
        self._popen = popen
        self._on_exit = on_exit
        self._signal_inside = signal_inside
        self._loop = asyncio.get_running_loop()
        self._pidfd: int | None = None
        self._group_may_live = True
        self._next_look: asyncio.TimerHandle | None = None
        self.reaped_at: float | None = None
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(popen.pid)
            self._loop.add_reader(self._pidfd, self._ready)
        else:  # macOS: one thread a child
            threading.Thread(target=self._wait_in_thread, daemon=True).start()

    @property
    def pid(self) -> int:
        """The operating system's number of the child and of its group."""
        return self._popen.pid

    def _wait_in_thread(self) -> None:
        os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        self._loop.call_soon_threadsafe(self._ready)

    @property
    def reaped(self) -> bool:
        """Whether its number may be another's."""
        return self.reaped_at is not None

    def _ready(self) -> None:
        now = time.clock_gettime(_SINCE_BOOT)
        code = self._popen.poll()
        if code is None:
            return
        self.reaped_at = now
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        self._look_at_group(_FIRST_LOOK_SECONDS)
        on_exit, self._on_exit = self._on_exit, _nobody
        if code >= 0:
            on_exit(code, None)
        else:
            on_exit(128 - code, -code)

    def _look_at_group(self, seconds: float) -> None:
        """Close the handle if the group has ended, else look again after so long."""
        if not self.signal_group(0):
            return  # and so it is forgotten
        later = min(2 * seconds, _LONGEST_WAIT_SECONDS)
        self._next_look = self._loop.call_later(seconds, self._look_at_group, later)

    def signal_group(self, number: int) -> bool:
        """Send a signal to the group, also when only its leader has ended.

        Returns:
            Whether there was a group to send it to.
        """
        if not self._group_may_live:
            return False
        inside = None if self.reaped else self._signal_inside
        if inside is not None and inside(number) and number != signal.SIGKILL:
            return True
        try:
            if not self.reaped:
                os.killpg(self.pid, number)
            elif not self._signal_orphaned_group(number):
                return False
        except ProcessLookupError:
            if self.reaped:
                self.forget_group()
            return False
        except PermissionError:
            return True  # somebody else's processes by now, through setuid
        return True

    def signal_foreground(self, group: int, number: int) -> None:
        """Signal another group of the child's session, as its terminal names it right now."""
        # Gone, or not ours to signal: the caller asked for no more than an attempt.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _signal_orphaned_group(self, number: int) -> bool:
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
                return True
            except ProcessLookupError:
                raise
            except OSError:
                pass  # an older kernel
        if Path(f"/proc/{self.pid}").exists():
            self.forget_group()
            return False
        os.killpg(self.pid, number)
        return True

    def forget_group(self) -> None:
        """Never signal this group again, and close what identified it."""
        self._group_may_live = False
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._pidfd is not None and self.reaped:
            os.close(self._pidfd)
            self._pidfd = None
