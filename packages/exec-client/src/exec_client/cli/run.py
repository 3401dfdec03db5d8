"""``exec-client run``: run a command on an executor as if it ran here."""

from __future__ import annotations

import argparse
import os
from argparse import ArgumentParser, Namespace
from typing import Final

from .connection import add_connection_arguments, with_executor
from .durations import DURATION, duration
from .exit_codes import CommandError
from .sandbox import add_sandbox_arguments, sandbox_of

__all__ = ["SUMMARY", "add_command_arguments", "configure", "execute", "parse_env"]

SUMMARY: Final = "run a command and exit with its code"

_UNITS: Final = {"K": 1024, "M": 1024**2, "G": 1024**3}

_DESCRIPTION: Final = """\
Run a command on an executor. Its stdout and stderr come out here, apart and at once; stdin
and signals go there. Ctrl-C interrupts the command, not exec-client.
"""

_EPILOG: Final = """\
examples:
  exec-client run -- sh -c 'echo out; echo err >&2; exit 3'
  exec-client run --url ws://127.0.0.1:8765 --cwd /srv/app -- make test
  tar c src | exec-client run -- tar x -C /tmp
  exec-client run --tty -- vim notes.txt
  exec-client run --sandbox workspace-write --cwd /srv/app -- make test

exit codes:
  the command's own; 128+N when signal N ended it; 124 when --timeout killed it;
  125 when exec-client itself failed; 126 when the program cannot be executed; 127 when there
  is none.

An executor that cannot close a command's stdin (`exec-client info` lists processCloseStdin
when it can) leaves a terminal unconnected, and warns at the end of any other input.
"""


def add_command_arguments(parser: ArgumentParser) -> None:
    """Add the options that `run` and `shell` share."""
    parser.add_argument(
        "--cwd", metavar="DIR", help="folder on the executor (default: the executor's own)"
    )
    parser.add_argument(
        "-e",
        "--env",
        metavar="K=V",
        action="append",
        default=[],
        help="variable to set; K alone passes the value it has here (repeatable)",
    )
    parser.add_argument(
        "--inherit-env",
        choices=("core", "all", "none"),
        default="core",
        help="which of the executor's variables the command gets (default: core, which is "
        "PATH, HOME, USER, SHELL, LANG and the like)",
    )
    parser.add_argument(
        "--lost-output",
        choices=("fail", "gap"),
        default="fail",
        help="when more output was lost in an interruption than the executor keeps: end the "
        "command, or go on with what there is and say on stderr how much is missing "
        "(default: fail)",
    )
    add_sandbox_arguments(parser)


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``run``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    add_command_arguments(parser)
    parser.add_argument(
        "-t", "--tty", action="store_true", help="give the command a terminal, as `ssh -t` does"
    )
    parser.add_argument(
        "--timeout",
        metavar=DURATION,
        type=duration,
        help="kill the command after so long: seconds, or 500ms, 5m, 1h30m",
    )
    parser.add_argument(
        "--kill-after",
        metavar=DURATION,
        type=duration,
        help="at the end of --timeout ask the command to end (SIGTERM), and kill it so much later",
    )
    parser.add_argument(
        "--max-output",
        metavar="BYTES",
        type=_size,
        help="write so much of stdout and of stderr each, and drop the rest: bytes, or 64K, 10M",
    )
    parser.add_argument(
        "--merge-stderr",
        action="store_true",
        help="let stderr come out with stdout, in the order of writing, as `2>&1` in a shell",
    )
    parser.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER, help="what to run")


def _size(text: str) -> int:
    digits = text[:-1] if text[-1:].upper() in _UNITS else text
    if not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, as 5000, 64K or 10M")
    return int(digits) * _UNITS.get(text[-1:].upper(), 1)


def execute(arguments: Namespace) -> int:
    """Run the command."""
    if not arguments.command:
        raise CommandError("run needs a command: exec-client run [options] -- CMD…")
    return with_executor(arguments, lambda: _run(arguments))


async def _run(arguments: Namespace) -> int:
    env = parse_env(arguments.env)
    if arguments.tty and "TERM" in os.environ:
        env.setdefault("TERM", os.environ["TERM"])
    from .connection import open_client
    from .messages import Messages

    async with open_client(arguments) as client:
        from .foreground import Command, run_in_foreground

        command = Command(
            argv=arguments.command,
            cwd=arguments.cwd,
            env=env,
            inherit_env=arguments.inherit_env,
            tty=arguments.tty,
            timeout=arguments.timeout,
            kill_after=arguments.kill_after,
            max_output=arguments.max_output,
            merge_stderr=arguments.merge_stderr,
            sandbox=sandbox_of(arguments, client),
            lost_output=arguments.lost_output,
        )
        return await run_in_foreground(client, command, Messages(quiet=arguments.quiet))


def parse_env(settings: list[str]) -> dict[str, str]:
    """Return the variables of ``--env`` options.

    Raises:
        CommandError: One has no name.
    """
    env: dict[str, str] = {}
    for setting in settings:
        name, given, value = setting.partition("=")
        if not name:
            raise CommandError(f"--env {setting}: expected K=V")
        if given:
            env[name] = value
        elif name in os.environ:
            env[name] = os.environ[name]
    return env
