"""The ``exec-server`` program as a child: found and started, before anything else is loaded.

It takes as long to come up as a client takes to load, so whoever needs both starts it first.
This module loads little for that reason, and nothing of asyncio.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from .errors import ConnectError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "PROGRAM",
    "TOKEN_VARIABLE",
    "EmbeddedServerError",
    "ServerProgramMissingError",
    "StartedProgram",
    "find_program",
    "make_token",
    "start_program",
]

PROGRAM: Final = "exec-server"
DISTRIBUTION: Final = "exec-server"

TOKEN_VARIABLE: Final = "EXEC_SERVER_TOKEN"  # noqa: S105 - a name
"""Variable that holds the token for the executor that a variable or an option names."""

_TOKEN_BYTES: Final = 32
"""Random: its digest may be known to anybody."""
_END_SECONDS: Final = 5.0
"""For a program whose stdin was closed. Stopping takes milliseconds."""


class EmbeddedServerError(ConnectError):
    """The server of one's own did not come up. The text ends with what it said on stderr."""


class ServerProgramMissingError(EmbeddedServerError):
    """There is no exec-server program to start; the text says what to install."""


def find_program() -> Path:
    """Return the ``exec-server`` beside the running interpreter, else the one on PATH.

    Raises:
        ServerProgramMissingError: There is neither.
    """
    from pathlib import Path

    if sys.executable:
        # The link is not followed: a virtual environment's own programs are beside the link.
        beside = Path(sys.executable).parent / PROGRAM
        if os.access(beside, os.X_OK) and beside.is_file():
            return beside
    import shutil  # rarely needed, and slow to load

    found = shutil.which(PROGRAM)
    if found is None:
        raise ServerProgramMissingError(
            f"there is no {PROGRAM} program beside the interpreter or on PATH: "
            f"`pip install {DISTRIBUTION}`, or give the URL of a running one"
        )
    return Path(found)


class StartedProgram:
    """A program that comes up.

    Attributes:
        popen: The child, with pipes for its standard streams. It ends when its stdin is closed.
        token: What it asks for.
    """

    def __init__(self, popen: subprocess.Popen[bytes], token: str) -> None:
        self.popen = popen
        self.token = token

    def end(self) -> None:
        """End it, and reap it. Does nothing when that has been done. Blocks for some milliseconds.

        For a program that nobody has taken over.
        """
        popen = self.popen
        if popen.returncode is not None:
            return
        for pipe in (popen.stdin, popen.stdout, popen.stderr):
            if pipe is not None:
                pipe.close()
        try:
            popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def make_token() -> str:
    """Return a token that nobody knows."""
    return os.urandom(_TOKEN_BYTES).hex()


def start_program(
    program: str | os.PathLike[str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    arguments: tuple[str, ...] = (),
    token: str | None = None,
) -> StartedProgram:
    """Start the program without waiting for it.

    Args:
        program: What to start instead of ``find_program()``.
        cwd: Folder in which it starts; the current one when ``None``.
        arguments: Further command line arguments.
        token: What it is to ask for; ``None`` for ``make_token()``.

    Raises:
        ServerProgramMissingError: There is no program to start.
        EmbeddedServerError: It cannot be executed.
    """
    token = token or make_token()
    command = [os.fspath(program or find_program()), "--listen", "ws://127.0.0.1:0"]
    command += ["--exit-on-stdin-close", "--ws-auth", "capability-token"]
    command += ["--ws-token-sha256", hashlib.sha256(token.encode()).hexdigest()]
    try:
        popen = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            # A token for some other executor is none of its business, nor its children's.
            env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
            # Ctrl-C at the terminal is for the command, which may well handle it.
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedServerError(f"cannot start {PROGRAM}: {error.strerror}") from error
    return StartedProgram(popen, token)
