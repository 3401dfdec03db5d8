"""``exec-client cat``: the content of files on an executor."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from .connection import add_connection_arguments, with_executor
from .printing import printable
from .remote_paths import as_remote
from .sandbox import add_sandbox_arguments, sandbox_of

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "write files of an executor to stdout"

_DESCRIPTION: Final = """\
Write the content of files on an executor to stdout, as it is. Paths are written with or without
the `:` that `exec-client cp` needs; relative ones begin in the executor's own folder. A lost
connection is resumed, and the content goes on where it stopped.
"""

_EPILOG: Final = """\
examples:
  exec-client cat --url ws://127.0.0.1:8765 /etc/os-release
  exec-client cat logs/1 logs/2 | less

exit codes: 0; 1 when a file cannot be read; 125 when exec-client itself failed.
"""

STDOUT: Final = 1


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``cat``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    add_sandbox_arguments(parser)
    parser.add_argument("path", metavar="PATH", nargs="+")


def execute(arguments: Namespace) -> int:
    """Write the files."""
    return with_executor(arguments, lambda: _cat(arguments))


async def _cat(arguments: Namespace) -> int:
    from .connection import open_client
    from .messages import Messages

    messages = Messages(quiet=arguments.quiet)
    async with open_client(arguments) as client, messages.recoveries(client):
        from ..filesystem.errors import FileError
        from .streams import StreamWriter

        fs = client.fs.with_sandbox(sandbox_of(arguments, client))
        failed = False
        writer = StreamWriter(STDOUT)
        try:
            for path in map(as_remote, arguments.path):
                try:
                    async with fs.open(path, "rb") as file:
                        async for block in file.blocks():
                            await writer.write(block)
                except FileError as error:
                    messages.error(f"{printable(path)}: {error.strerror}")
                    failed = True
        finally:
            writer.close()
    return int(failed)
