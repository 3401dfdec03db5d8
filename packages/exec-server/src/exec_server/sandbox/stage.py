"""A few lines that run inside, between bubblewrap and the command, where it cannot do the job.

A command on a terminal must lead the foreground group: otherwise what its user types to
interrupt it hits bubblewrap, outside, and kills everything. And old bubblewraps cannot start
a program under another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .interpreter import executable

__all__ = ["EXIT_NOT_RUN", "staged"]

EXIT_NOT_RUN: Final = 101
"""Exit status of a sandboxed command that could not be executed."""

_CODE: Final = f"""
import os, signal, sys
name, file, *rest = sys.argv[1:]
argv = [name or file, *rest]
if os.isatty(0):
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
    except OSError:
        pass
for number in (signal.SIGTTOU, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execvp(file, argv)
except OSError as error:
    text = ascii(file) + ": " + os.strerror(error.errno)
    sys.stderr.write("exec-server: cannot run " + text + "\\n")
    sys.stderr.flush()
    os._exit({EXIT_NOT_RUN})
"""


def staged(argv: Sequence[bytes], arg0: bytes | None) -> list[bytes]:
    """Return the command that leads to ``argv``; the interpreter must be readable inside."""
    return [executable(), b"-I", b"-S", b"-c", _CODE.encode(), arg0 or b"", *argv]
