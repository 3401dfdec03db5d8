"""The beginning of the program: a small supervisor is made before anything large is loaded.

The supervisor is the process that was started, and the server its child. It is loaded in
``supervisor``; what comes here is loaded by both, so it is little: no ``typing``, no ``argparse``.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

if not TYPE_CHECKING:
    import _signal as signal  # what ``signal`` is made of, without the enumerations around it

__all__ = ["main"]

_UNSUPERVISED = frozenset({"--no-supervisor", "--version", "--help", "-h", "sandbox-check"})
"""Words with which the program runs no server, or one that others supervise."""

_NOT_WAITED_FOR = frozenset(
    {
        # Nobody can wait for these.
        signal.SIGKILL,
        signal.SIGSTOP,
        # Faults of the supervisor's own.
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGPIPE,
        signal.SIGXFSZ,
        signal.SIGXCPU,
        # A terminal stops and continues both, since they are one group.
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCONT,
        signal.SIGURG,
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program, with a supervisor above it unless it is told not to.

    Returns:
        Exit status; see ``cli.main``.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    supervisor = None
    if sys.platform == "linux" and _UNSUPERVISED.isdisjoint(arguments):
        supervisor = _fork()
    from .cli import main as run

    return run(arguments, supervisor=supervisor)


def _fork() -> int:
    """Become two processes. That of the supervisor ends here, with the server's status.

    Returns:
        In the server: a descriptor to read, on which the supervisor says which group it has put
        the server into, and which ends when the supervisor does.
    """
    from .standard_streams import open_descriptors

    open_descriptors()
    waited = signal.valid_signals() - _NOT_WAITED_FOR
    # Else the end of a server that comes at once might be missed, and so might a signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return reading
    os.close(reading)
    from .supervisor import supervise

    os._exit(supervise(child, writing, waited))  # nothing is to be written or taken down
