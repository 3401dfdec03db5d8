"""The standard streams as the program is given them: closed ones are opened, full ones waited for.

Whoever starts a program may leave descriptors 0 to 2 closed: cron jobs, supervisors and daemons
do. The next file or socket that is opened would then be taken for a standard stream. And a pipe
may be non-blocking, since that flag belongs to the pipe and not to a program: Node sets it.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO

__all__ = ["open_standard_streams", "wait_for", "write_all"]

STDIN, STDOUT, STDERR = 0, 1, 2


def open_standard_streams() -> None:
    """Make ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` usable. Call it first of all.

    Streams that somebody has put in their place already are left alone.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, and the lower ones are open by now.
            os.open(os.devnull, os.O_RDONLY if descriptor == STDIN else os.O_WRONLY)
            os.set_inheritable(descriptor, True)
    if sys.stdin is sys.__stdin__:
        sys.stdin = _text(sys.stdin, io.BufferedReader(_WaitingFile(STDIN, "r", closefd=False)))
    if sys.stdout is sys.__stdout__:
        writer = io.BufferedWriter(_WaitingFile(STDOUT, "w", closefd=False))
        sys.stdout = _text(sys.stdout, writer, by_line=os.isatty(STDOUT))
    if sys.stderr is sys.__stderr__:
        writer = io.BufferedWriter(_WaitingFile(STDERR, "w", closefd=False))
        sys.stderr = _text(sys.stderr, writer, by_line=True)


def _text(
    before: TextIO | None,
    file: io.BufferedReader[Any] | io.BufferedWriter[Any],
    *,
    by_line: bool = False,
) -> TextIO:
    """Return a text stream like the one before; ``None``, if its descriptor was closed."""
    return io.TextIOWrapper(
        file,
        encoding=before.encoding if before else "utf-8",
        errors=before.errors if before else "backslashreplace",
        line_buffering=by_line,
        write_through=bool(getattr(before, "write_through", False)),
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however long that takes.

    Raises:
        OSError: Nobody reads any more, or the disk is full.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            wait_for(descriptor, select.POLLOUT)


def wait_for(descriptor: int, event: int) -> None:
    """Wait until a non-blocking descriptor can go on."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


class _WaitingFile(io.FileIO):
    """A file that waits where a non-blocking descriptor would have the caller try again."""

    def write(self, data: Any, /) -> int:
        while (written := super().write(data)) is None:
            wait_for(self.fileno(), select.POLLOUT)
        return written

    def readinto(self, buffer: Any, /) -> int:
        while (count := super().readinto(buffer)) is None:
            wait_for(self.fileno(), select.POLLIN)
        return count

    def readall(self) -> bytes:
        pieces = []
        piece = bytearray(io.DEFAULT_BUFFER_SIZE)
        while count := self.readinto(piece):
            pieces.append(bytes(piece[:count]))
        return b"".join(pieces)
