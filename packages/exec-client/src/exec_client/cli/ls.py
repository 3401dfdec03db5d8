"""``exec-client ls``: what is in a directory on an executor."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .connection import add_connection_arguments, with_executor
from .printing import json_text, local_time, printable, write_name
from .remote_paths import as_remote
from .sandbox import add_sandbox_arguments, sandbox_of

if TYPE_CHECKING:
    from ..filesystem.filesystem import FileSystem
    from ..filesystem.types import FileStat
    from .messages import Messages

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "list files on an executor"

_DESCRIPTION: Final = """\
List files and directories on an executor, sorted by name. Paths are written with or without the
`:` that `exec-client cp` needs; relative ones begin in the executor's own folder.
"""

_EPILOG: Final = """\
examples:
  exec-client ls --url ws://127.0.0.1:8765 /srv
  exec-client ls -la
  exec-client ls --json /srv | jq -r '.[].path'

exit codes: 0; 1 when a path cannot be listed; 125 when exec-client itself failed.
"""


@dataclass(frozen=True)
class _Row:
    name: str
    path: str
    status: FileStat | None
    is_dir: bool


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``ls``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    add_sandbox_arguments(parser)
    parser.add_argument(
        "-l", "--long", action="store_true", help="with kind, size in bytes and time of change"
    )
    parser.add_argument("-a", "--all", action="store_true", help="names that begin with a dot too")
    parser.add_argument("--json", action="store_true", help="as JSON, with all that is known")
    parser.add_argument("path", metavar="PATH", nargs="*", default=["."])


def execute(arguments: Namespace) -> int:
    """List the paths."""
    return with_executor(arguments, lambda: _list(arguments))


async def _list(arguments: Namespace) -> int:
    from .connection import open_client
    from .messages import Messages

    messages = Messages(quiet=arguments.quiet)
    async with open_client(arguments) as client:
        fs = client.fs.with_sandbox(sandbox_of(arguments, client))
        failed = False
        listed: list[_Row] = []
        paths = [as_remote(path) for path in arguments.path]
        for number, path in enumerate(paths):
            rows = await _rows(fs, path, arguments, messages)
            failed = failed or rows is None
            if arguments.json:
                listed += rows or []
            elif rows is not None:
                _print(rows, path if len(paths) > 1 else None, number > 0, arguments)
    if arguments.json:
        facts = [_facts(row) for row in listed]
        sys.stdout.write(json_text(facts))
    return int(failed)


async def _rows(
    fs: FileSystem, path: str, arguments: Namespace, messages: Messages
) -> list[_Row] | None:
    """Return what is to be listed for a path; ``None`` after telling why there is nothing."""
    from ..errors import UnsupportedError
    from ..filesystem.errors import FileError, is_missing
    from ..filesystem.trees import prefetch

    try:
        status = await fs.stat(path)
        if not status.is_dir:
            return [_Row(path, path, status, is_dir=False)]
        items = [
            item
            async for item in fs.iterdir(path)
            if arguments.all or not item.name.startswith(".")
        ]
    except FileError as error:
        messages.error(f"{printable(path)}: {error.strerror}")
        return None
    if not (arguments.long or arguments.json):
        return [_Row(item.name, item.path, None, item.is_dir) for item in items]

    async def look(path: str) -> FileStat | None:
        try:
            return await fs.stat(path)
        except FileError as error:
            if not is_missing(error):
                raise
        with suppress(FileError, UnsupportedError):
            return await fs.lstat(path)  # a link that leads nowhere
        return None  # it has just gone, or its name is not what was listed

    found = {path: status async for path, status in prefetch([item.path for item in items], look)}
    return [_Row(item.name, item.path, found[item.path], item.is_dir) for item in items]


def _print(rows: list[_Row], heading: str | None, again: bool, arguments: Namespace) -> None:
    if heading is not None:
        if again:
            sys.stdout.write("\n")
        write_name(heading + ":")
    width = max((len(f"{row.status.size:,}") for row in rows if row.status), default=1)
    for row in rows:
        name = row.name + ("/" if row.is_dir else "")
        if arguments.long:
            name = f"{_kind(row.status)} {_size(row.status):>{width}} {_time(row.status)} {name}"
        write_name(name)


def _kind(status: FileStat | None) -> str:
    if status is None:
        return "??"
    kind = "d" if status.is_dir else "-" if status.is_file else "s"
    return kind + ("l" if status.is_symlink else " ")


def _size(status: FileStat | None) -> str:
    return "?" if status is None else f"{status.size:,}"


def _time(status: FileStat | None) -> str:
    when = None if status is None or status.modified_at is None else local_time(status.modified_at)
    return f"{'?':<16}" if when is None else when.strftime("%Y-%m-%d %H:%M")


def _facts(row: _Row) -> dict[str, object]:
    status = row.status
    facts: dict[str, object] = {"name": row.name, "path": row.path}
    if status is not None:
        facts |= {
            "kind": "directory" if status.is_dir else "file" if status.is_file else "other",
            "symlink": status.is_symlink,
            "size": status.size,
            "modifiedAt": status.modified_at,
            "createdAt": status.created_at,
        }
    return facts
