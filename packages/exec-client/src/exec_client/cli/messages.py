"""Messages of ``exec-client`` itself on stderr: errors, warnings, the line about a recovery."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from .printing import printable
from .standard_streams import write_all

if TYPE_CHECKING:
    from ..client import Client
    from ..gaps import Gap

__all__ = ["Messages"]

PREFIX: Final = "exec-client: "


class Messages:
    """Writes lines to stderr, as they must look in the mode that the terminal is in.

    Args:
        quiet: Leave out everything but errors.
        fd: Where to write.
    """

    def __init__(self, *, quiet: bool = False, fd: int = 2) -> None:
        self._quiet = quiet
        self._fd = fd
        self._unfinished = False
        self._in_output = False
        """Whether output of the command came last, and did not end its line."""
        self.raw = False
        """Whether the terminal is in raw mode, where a line needs a carriage return too."""

    def error(self, text: str) -> None:
        """Write a line that says why ``exec-client`` fails."""
        self._line(text)

    def note(self, text: str) -> None:
        """Write a line that the user may want to know about, unless they want quiet."""
        if not self._quiet:
            self._line(text)

    def gap(self, gap: Gap) -> str:
        """Tell that output is lost; returns what goes into the output in its place: nothing."""
        size = "output" if gap.lost_bytes is None else f"{gap.lost_bytes:,} bytes of output"
        self._line(f"{size} lost here ({gap.stream})")
        return ""

    async def follow_recovery(self, client: Client, *, way_out: str = "Ctrl-C gives up") -> None:
        """Tell about each lost connection until cancelled, and how not to wait for it.

        On a terminal the line begins when the connection is lost and is completed when it is
        back; elsewhere it is written once, complete.
        """
        if self._quiet:
            return
        from ..connection.states import ClientState

        live = os.isatty(self._fd)
        lost_at = 0.0
        async for change in client.state_changes():
            if change.new is ClientState.RECOVERING:
                lost_at = change.at
                if live:
                    self._write(f"{PREFIX}connection lost, resuming … ({way_out})")
                    self._unfinished = True
            elif change.old is ClientState.RECOVERING:
                after = f"after {change.at - lost_at:.1f} s"
                if change.new is ClientState.CONNECTED:
                    text = f"resumed {after}, {change.recovered_bytes:,} bytes recovered"
                    if not live:
                        self._line(f"connection lost, {text}")
                else:
                    text = f"given up {after}"  # The error follows in a line of its own.
                if live:
                    self._finish(f" {text}")

    @asynccontextmanager
    async def recoveries(self, client: Client) -> AsyncIterator[None]:
        """Tell about each connection that is lost during the block."""
        import asyncio

        following = asyncio.get_running_loop().create_task(self.follow_recovery(client))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    def end_line(self) -> None:
        """End the line about a recovery, if there is one."""
        if self._unfinished:
            self._unfinished = False
            self._write("\n")

    def before_output(self, data: bytes) -> None:
        """Make room on the terminal for output: it begins on a line of its own."""
        self.end_line()
        self._in_output = not data.endswith(b"\n")

    def _finish(self, text: str) -> None:
        if not self._unfinished:  # output came in between
            text = ("\n" if self._in_output else "") + PREFIX + text.lstrip()
        self._unfinished = self._in_output = False
        self._write(text + "\n")

    def _line(self, text: str) -> None:
        self.end_line()
        # Lines after the first are indented: an executor's text cannot pass for one of ours.
        self._write(PREFIX + text.replace("\n", "\n  ") + "\n")

    def _write(self, text: str) -> None:
        text = printable(text, keep="\n\t")
        if self.raw:
            text = text.replace("\n", "\r\n")
        # A stderr that is closed must not change how the command ends.
        with contextlib.suppress(OSError):
            write_all(self._fd, text.encode("utf-8", "replace"))
