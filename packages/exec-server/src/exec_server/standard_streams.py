"""The standard streams as the program is given them: closed ones are opened, full ones waited for.

Whoever starts a program may leave descriptors 0 to 2 closed: cron jobs, supervisors and daemons
do. The next file or socket that is opened would then be taken for a standard stream. And a pipe
may be non-blocking, since that flag belongs to the pipe and not to a program: Node sets it.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = ["open_descriptors", "open_standard_streams"]

STDIN, STDOUT, STDERR = 0, 1, 2


def open_standard_streams() -> None:
    """Make ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` usable. Call it first of all.

    Streams that somebody has put in their place already are left alone.
    """
    open_descriptors()
    if sys.stdin is None:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays
    if sys.stdout is sys.__stdout__:
        writer = io.BufferedWriter(_WaitingFile(STDOUT, "w", closefd=False))
        sys.stdout = _text(sys.stdout, writer, by_line=os.isatty(STDOUT))
    if sys.stderr is sys.__stderr__:
        writer = io.BufferedWriter(_WaitingFile(STDERR, "w", closefd=False))
        sys.stderr = _text(sys.stderr, writer, by_line=True)


def open_descriptors() -> None:
    """Open what is closed of descriptors 0 to 2, so that no other file takes their numbers."""
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, and the lower ones are open by now.
            os.open(os.devnull, os.O_RDONLY if descriptor == STDIN else os.O_WRONLY)
            os.set_inheritable(descriptor, True)


def _text(before: TextIO | None, file: io.BufferedWriter[Any], *, by_line: bool) -> TextIO:
    """Return a text stream like the one before; ``None``, if its descriptor was closed."""
    return io.TextIOWrapper(
        file,
        encoding=before.encoding if before else "utf-8",
        errors=before.errors if before else "backslashreplace",
        line_buffering=by_line,
        write_through=bool(getattr(before, "write_through", False)),
    )


class _WaitingFile(io.FileIO):
    """A file that waits where a non-blocking descriptor would have the caller try again."""

    def write(self, data: Any, /) -> int:
        while (written := super().write(data)) is None:
            import select

            poll = select.poll()
            poll.register(self.fileno(), select.POLLOUT)
            poll.poll()
        return written
