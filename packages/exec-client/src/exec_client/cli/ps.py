"""``exec-client ps``: the processes of a session."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Final

from .connection import add_connection_arguments, with_executor
from .printing import json_text, local_time, printable

__all__ = ["SUMMARY", "configure", "execute", "render"]

SUMMARY: Final = "list the processes of a session"

_DESCRIPTION: Final = """\
List the processes of a session. Each client has a session of its own, so a list without
--session is empty; a session that lost its client can be looked at until it expires.
"""

_EPILOG: Final = """\
examples:
  exec-client ps --url ws://127.0.0.1:8765 --session 1b4e28ba-2fa1-41d2-883f-0016d3cca427
  exec-client ps --url ws://127.0.0.1:8765 --session 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --json
"""

_COLUMNS: Final = ("PROCESS", "STATE", "EXIT", "TTY", "STARTED", "RETAINED", "COMMAND")


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``ps``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    parser.add_argument("--session", metavar="ID", help="session to attach to for a moment")
    parser.add_argument("--json", action="store_true", help="as JSON, in the names of the wire")


def execute(arguments: Namespace) -> int:
    """List the processes."""
    processes = with_executor(arguments, lambda: _fetch(arguments))
    if arguments.json:
        sys.stdout.write(json_text(processes))
    else:
        sys.stdout.write(render(processes))
    return 0


async def _fetch(arguments: Namespace) -> list[dict[str, Any]]:
    from .connection import open_client

    async with open_client(arguments, session_id=arguments.session) as client:
        return [
            process.model_dump(mode="json", by_alias=True)
            for process in await client.list_processes()
        ]


def render(processes: Sequence[dict[str, Any]]) -> str:
    """Return a table with one line a process, the oldest first."""
    rows = [_COLUMNS, *(_row(process) for process in processes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    text = ""
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        text += "  ".join(cells).rstrip() + "\n"
    return text


def _row(process: dict[str, Any]) -> tuple[str, ...]:
    started = local_time(process["startedAtMs"] / 1000)
    exit_code = process["exitCode"]
    return (
        printable(process["processId"]),
        process["state"],
        "" if exit_code is None else str(exit_code),
        "yes" if process["tty"] else "",
        "?" if started is None else started.isoformat(sep=" ", timespec="seconds"),
        f"{process['retainedBytes']:,}",
        printable(process["argv0"]),
    )
