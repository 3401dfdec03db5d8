"""A few lines that run inside, between bubblewrap and the command, where it cannot do the job.

A command on a terminal must lead the foreground group: otherwise what its user types to
interrupt it hits bubblewrap, outside, and kills everything. And old bubblewraps cannot start
a program under another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..sandbox.interpreter import executable

__all__ = ["staged"]

_CODE: Final = """
import os, signal, sys
not_run, name, file, *rest = sys.argv[1:]
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
    os._exit(int(not_run))
"""


def staged(argv: Sequence[bytes], arg0: bytes | None, not_run: int) -> list[bytes]:
    """Return the command that leads to ``argv``; the interpreter must be readable inside.

    Args:
        argv: The command.
        arg0: What it sees as its own name.
        not_run: Exit status for when it cannot be executed.
    """
    return [executable(), b"-I", b"-S", b"-c", _CODE.encode(), b"%d" % not_run, arg0 or b"", *argv]
