"""The ``exec-client`` program: reads the command line, calls a subcommand, reports errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from .commands import load_commands
from .exit_codes import OWN_ERROR, SIGNAL_BASE, CommandError, exit_code_of
from .messages import Messages
from .printing import only_plain_text
from .standard_streams import open_standard_streams
from .telemetry import observed

__all__ = ["main", "parse"]

SIGINT: Final = 2
SIGPIPE: Final = 13

_DESCRIPTION: Final = """\
Run commands on an exec-server, over connections that may break.

Which one: --url, else $EXEC_SERVER_URL or $CODEX_EXEC_SERVER_URL, else a server of our own
that is started on this machine and ends with the command. An executor that asks for a token
gets the one in --token-file or $EXEC_SERVER_TOKEN.
"""

_EPILOG: Final = """\
examples:
  exec-client run -- sh -c 'echo out; echo err >&2; exit 3'
  exec-client shell --url ws://127.0.0.1:8765
  exec-client info

`exec-client COMMAND --help` says more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Args:
        argv: Arguments after the program's name; those of the process when ``None``.
    """
    open_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with only_plain_text():
            code = _execute(words)
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads our output: end as quietly as SIGPIPE would have ended us.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        return SIGNAL_BASE + SIGPIPE
    except KeyboardInterrupt:
        return SIGNAL_BASE + SIGINT
    return code


def _execute(words: list[str]) -> int:
    arguments = parse(words)
    messages = Messages(quiet=getattr(arguments, "quiet", False))
    try:
        with observed(arguments.subcommand, os.environ, messages):
            return int(arguments.execute(arguments))
    except CommandError as error:
        messages.error(str(error))
        return exit_code_of(error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - told, and no traceback goes past the filter
        # A fault of this program is shown whole. It may quote an executor, so it goes the way
        # of all text.
        import traceback

        messages.error(str(error) if _is_expected(error) else traceback.format_exc().rstrip())
        return exit_code_of(error)


def _is_expected(error: Exception) -> bool:
    """Whether an error is about the world and not a fault of this program."""
    from ..errors import ExecError

    return isinstance(error, ExecError | OSError)


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line; everything after the first ``--`` is the command's as it is."""
    parser = _Parser(
        prog="exec-client",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"exec-client {_version()}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for name, command in load_commands():
        subparser = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(subparser)
        subparser.set_defaults(execute=command.execute, subcommand=name)
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    rest = words[cut:]
    if rest:
        if "command" not in arguments:
            parser.error("this subcommand takes no command after --")
        # A `--` inside the command, after its first word, belongs to it.
        arguments.command += rest if arguments.command else rest[1:]
    return arguments


class _Parser(argparse.ArgumentParser):
    """Ends with the code that says that the fault was ours, not the command's."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(OWN_ERROR, f"{self.prog}: {message}\n")


def _version() -> str:
    try:
        return version("exec-client")
    except PackageNotFoundError:  # Run from a checkout that is not installed.
        return "unknown"
