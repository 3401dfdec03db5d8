"""The ``exec-client`` program: reads the command line, calls a subcommand, reports errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NoReturn

from . import collector
from .commands import COMMAND_NAMES, Command, load_command
from .exit_codes import OWN_ERROR, SIGNAL_BASE, CommandError, exit_code_of
from .messages import Messages
from .printing import only_plain_text
from .standard_streams import open_standard_streams

__all__ = ["main", "parse", "whole_parser"]

SIGINT: Final = 2
SIGPIPE: Final = 13

_FORMATTER: Final = argparse.RawDescriptionHelpFormatter

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
    if argv is not None:
        return _run(list(argv))
    collector.pause()
    try:
        return _run(sys.argv[1:])
    finally:
        collector.leave()


def _run(words: list[str]) -> int:
    open_standard_streams()
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
        with _observed(arguments.subcommand, messages):
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


def _observed(command: str, messages: Messages) -> AbstractContextManager[None]:
    if not any(name.startswith("OTEL_") for name in os.environ):
        return nullcontext()
    from .telemetry import observed  # which takes time to load

    return observed(command, os.environ, messages)


def _is_expected(error: Exception) -> bool:
    """Whether an error is about the world and not a fault of this program."""
    from ..errors import ExecError

    return isinstance(error, ExecError | OSError)


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line; everything after the first ``--`` is the command's as it is."""
    cut = words.index("--") if "--" in words else len(words)
    head, rest = words[:cut], words[cut:]
    # Only the subcommand that was asked for is loaded: the others take time.
    if head and head[0] in COMMAND_NAMES:
        parser = Parser(prog=f"exec-client {head[0]}", formatter_class=_FORMATTER)
        _configure(parser, head[0], load_command(head[0]))
        arguments = parser.parse_args(head[1:])
    else:
        parser = whole_parser()
        if head and not head[0].startswith("-"):
            parser.error(f"there is no command {head[0]!r}{suggestion(head[0], COMMAND_NAMES)}")
        arguments = parser.parse_args(head)
    if rest:
        if "command" not in arguments:
            parser.error("this subcommand takes no command after --")
        # A `--` inside the command, after its first word, belongs to it.
        arguments.command += rest if arguments.command else rest[1:]
    return arguments


def whole_parser() -> Parser:
    """Return the parser with all subcommands, for help and completion."""
    parser = Parser(
        prog="exec-client", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_FORMATTER
    )
    parser.add_argument("--version", action="version", version=f"exec-client {_version()}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    for name in COMMAND_NAMES:
        command = load_command(name)
        subparser = subparsers.add_parser(name, help=command.SUMMARY, formatter_class=_FORMATTER)
        _configure(subparser, name, command)
    return parser


def _configure(parser: argparse.ArgumentParser, name: str, command: Command) -> None:
    command.configure(parser)
    parser.set_defaults(execute=command.execute, subcommand=name)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of an error: what a mistyped word was meant to be, if that is clear."""
    import difflib

    meant = difflib.get_close_matches(word.partition("=")[0], known, 1)
    return f"; did you mean {meant[0]}?" if meant else ""


class Parser(argparse.ArgumentParser):
    """Ends with the code that says that the fault was ours, not the command's."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the arguments, or end the program with an error."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            hint = suggestion(unknown[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """End the program with how it is used."""
        self.print_usage(sys.stderr)
        self.exit(OWN_ERROR, f"{self.prog}: {message}\n")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("exec-client")
    except PackageNotFoundError:  # Run from a checkout that is not installed.
        return "unknown"
