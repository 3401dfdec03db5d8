"""Pump from a child's descriptor to its process: non-blocking, paused when the peer is full."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Pump", "Pumped"]

_FIRST_READ_BYTES: Final = 64 * 1024
"""The size of a pipe as the kernel makes it: one read empties it."""
_LARGE_READ_BYTES: Final = 256 * 1024
"""For streams that fill their pipe. Larger pieces only lengthen the pause that each makes."""
_LARGE_PIPE_BYTES: Final = 1024 * 1024
"""What an unprivileged process may ask for by default; a busy child then seldom blocks."""
_DRAIN_BYTES: Final = 4 * _LARGE_PIPE_BYTES
"""Most that is read at once when a child has ended: what its pipe can hold, with a margin."""


class Pumped(Protocol):
    """Receiver of the output."""

    def output_full(self) -> bool:
        """Whether to wait before the next read."""

    def when_output_drained(self, callback: Callable[[], None]) -> None:
        """Call back once it is worth reading again."""

    def output(self, stream: bytes, data: bytes) -> None:
        """Take a piece of output."""

    def stream_ended(self, stream: bytes) -> None:
        """A stream is complete; called once for each pump."""


class Pump:
    """Reads one stream of one child until its end.

    The end is the end of the file, or for a terminal the error that stands for it, or
    ``stop``. Owns the descriptor.
    """

    def __init__(self, stream: bytes, descriptor: int, target: Pumped) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._read_bytes = _FIRST_READ_BYTES
        self.ended = False
        self._loop.add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        if self._target.output_full():
            self._loop.remove_reader(self._descriptor)
            self._target.when_output_drained(self._resume)
            return
        self._read()

    def _resume(self) -> None:
        if not self.ended:
            self._loop.add_reader(self._descriptor, self._readable)

    def _read(self) -> int:
        """Read once. Returns the number of bytes, 0 at the end, -1 when there is nothing."""
        try:
            data = os.read(self._descriptor, self._read_bytes)
        except BlockingIOError:
            return -1
        except OSError:  # EIO: no process has the terminal open any more
            data = b""
        if not data:
            self.stop()
            return 0
        if len(data) == self._read_bytes and self._read_bytes == _FIRST_READ_BYTES:
            self._grow()
        self._target.output(self._stream, data)
        return len(data)

    def _grow(self) -> None:
        self._read_bytes = _LARGE_READ_BYTES
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            # Fails for a terminal, and when the user's share of pipe memory is used up.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _LARGE_PIPE_BYTES)

    def drain(self) -> None:
        """Read what is there without waiting, up to what a pipe can hold.

        Called when the child has ended, so that its last words come before its exit.
        """
        total = 0
        while not self.ended and total < _DRAIN_BYTES:
            count = self._read()
            if count <= 0:
                return
            total += count

    def stop(self) -> None:
        """Close the descriptor, whatever is left unread. Repeating it does nothing."""
        if self.ended:
            return
        self.ended = True
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._target.stream_ended(self._stream)
