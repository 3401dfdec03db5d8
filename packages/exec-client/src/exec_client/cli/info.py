"""``exec-client info``: what an executor says about itself."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, Final

from .connection import add_connection_arguments, with_executor
from .printing import json_text, printable

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "show what an executor is and can do"

_EPILOG: Final = """\
examples:
  exec-client info
  exec-client info --url ws://127.0.0.1:8765 --json
"""


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``info``."""
    parser.description = "Show the executor's system, folders, shell and capabilities."
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, in the names of the wire")


def execute(arguments: Namespace) -> int:
    """Show the information."""
    facts = with_executor(arguments, lambda: _fetch(arguments))
    if arguments.json:
        sys.stdout.write(json_text(facts))
    else:
        sys.stdout.write(render(facts))
    return 0


async def _fetch(arguments: Namespace) -> dict[str, Any]:
    from .connection import open_client

    async with open_client(arguments) as client:
        return await _facts(client)


async def _facts(client: Client) -> dict[str, Any]:
    info = await client.info()
    return {
        "url": client.url,
        "status": str(await client.status()),
        "environmentInfo": info.model_dump(mode="json", by_alias=True),
    }


def render(facts: dict[str, Any]) -> str:
    """Return the facts as lines for people; what the executor left out is left out."""
    info = facts["environmentInfo"]
    capabilities = info["capabilities"]
    rows = {
        "url": facts["url"],
        "status": facts["status"],
        "version": info["executorVersion"],
        "platform": info["platformOs"],
        "shell": info["shell"]["path"],
        "folder": info["cwd"],
        "home": info["userHomeDir"],
        "temporary": info["tempDir"],
        "can": " ".join(sorted(name for name, value in capabilities.items() if value is True)),
        "cannot": " ".join(sorted(name for name, value in capabilities.items() if not value)),
    }
    return "".join(f"{name:<10} {printable(value)}\n" for name, value in rows.items() if value)
