"""List of the subcommands.

A subcommand is a module of this package with

- ``SUMMARY``: one line for the list of subcommands;
- ``configure(parser)``: adds its arguments, its description and its examples;
- ``execute(arguments) -> int``: does the work and returns the exit code.

Such a module imports only light ones at its top, since all of them are imported to show the
list; what is heavy, it imports when it is executed. To add one: write it, and name it here.
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from typing import Final, Protocol, cast

__all__ = ["COMMAND_NAMES", "Command", "load_command"]

COMMAND_NAMES: Final = ("run", "shell", "cp", "ls", "cat", "http", "info", "ps", "completion")
"""In the order of the list that people see. The module has the same name."""


class Command(Protocol):
    """Interface of a module that is a subcommand."""

    SUMMARY: str

    def configure(self, parser: ArgumentParser) -> None:
        """Add the arguments of the subcommand."""

    def execute(self, arguments: Namespace) -> int:
        """Do the work and return the exit code."""


def load_command(name: str) -> Command:
    """Return the subcommand of a name."""
    return cast("Command", importlib.import_module(f"{__package__}.{name}"))
