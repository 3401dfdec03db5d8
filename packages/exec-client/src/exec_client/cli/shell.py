"""``exec-client shell``: an interactive shell on an executor."""

from __future__ import annotations

import argparse
import os
from argparse import ArgumentParser, Namespace
from typing import Final

from .connection import add_connection_arguments, with_executor
from .run import add_command_arguments, parse_env
from .sandbox import sandbox_of

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "open an interactive shell"

_DESCRIPTION: Final = """\
Open the login shell of the executor's user, or another program, in a terminal that follows
the size of this one. The shell outlives interruptions of the connection.
"""

_EPILOG: Final = """\
examples:
  exec-client shell
  exec-client shell --url ws://127.0.0.1:8765 --cwd /srv/app
  exec-client shell -- python3 -q

The exit code is the shell's; 125 when exec-client itself failed.
"""


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``shell``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    add_command_arguments(parser)
    parser.add_argument(
        "command",
        metavar="CMD",
        nargs=argparse.REMAINDER,
        help="what to run instead of the login shell",
    )


def execute(arguments: Namespace) -> int:
    """Run the shell."""
    return with_executor(arguments, lambda: _run(arguments))


async def _run(arguments: Namespace) -> int:
    env = parse_env(arguments.env)
    if "TERM" in os.environ:  # what the terminal understands, and it is this one
        env.setdefault("TERM", os.environ["TERM"])
    from .connection import open_client
    from .messages import Messages

    async with open_client(arguments) as client:
        from .foreground import Command, run_in_foreground

        command = Command(
            argv=arguments.command or [client.environment_info.shell.path, "-l"],
            cwd=arguments.cwd,
            env=env,
            inherit_env=arguments.inherit_env,
            tty=True,
            sandbox=sandbox_of(arguments, client),
            lost_output=arguments.lost_output,
            is_shell=True,
        )
        return await run_in_foreground(client, command, Messages(quiet=arguments.quiet))
