"""``python -m app_server_protocol.registry census``: count methods, ours and a binary's."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from . import _binary
from ._peer import Peer
from .errors import ToolError
from .registry import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    WIRE_REVISION,
)
from .rpc import ErrorResponse

__all__ = ["main", "recited_methods", "typescript_methods"]

_UNKNOWN: Final = "app-server-protocol/census"
"""A method that no server has: the refusal recites those it has."""


def recited_methods(binary: Path) -> set[str]:
    """Return the methods that a binary lists when it is asked for one that it lacks.

    Raises:
        ToolError: It does not run, or does not answer as expected.
    """
    with Peer(binary) as peer:
        peer.initialize(experimental=True)
        reply = peer.call(_UNKNOWN, {})
    if not isinstance(reply, ErrorResponse):
        raise ToolError("the binary answered a method that does not exist")
    _, _, listed = reply.error.message.partition("expected one of")
    return set(re.findall(r"`([^`]+)`", listed))


def typescript_methods(binary: Path, union: str, *, experimental: bool) -> set[str]:
    """Return the methods of a union in a binary's TypeScript, which lacks none.

    Raises:
        ToolError: It does not run, or has no such union.
    """
    with _binary.dump(binary, "ts", experimental=experimental) as folder:
        file = folder / f"{union}.ts"
        if not file.exists():
            raise ToolError(f"the binary's TypeScript has no {union}")
        return set(re.findall(r'"method": "([^"]+)"', file.read_text(encoding="utf-8")))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _compare(what: str, mine: Iterable[str], theirs: set[str]) -> bool:
    ours = set(mine)
    _print(f"{what}: {len(ours)} here, {len(theirs)} in the binary")
    for name in sorted(theirs - ours):
        _print(f"  + {name}")
    for name in sorted(ours - theirs):
        _print(f"  - {name}")
    return ours == theirs


def _census(binary: Path | None) -> int:
    gated = [name for name, method in CLIENT_METHODS.items() if method.experimental]
    stable = [name for name in CLIENT_METHODS if name not in gated]
    _print(
        f"registry of {WIRE_REVISION}: {len(CLIENT_METHODS)} client methods "
        f"({len(stable)} stable, {len(gated)} gated), {len(SERVER_NOTIFICATIONS)} notifications, "
        f"{len(SERVER_REQUESTS)} server requests"
    )
    if binary is None:
        return 0
    _print(f"binary: {_binary.version(binary)}")
    table: dict[str, tuple[Iterable[str], set[str]]] = {
        "client methods, as it recites them": (CLIENT_METHODS, recited_methods(binary)),
        "client methods, stable": (
            stable,
            typescript_methods(binary, "ClientRequest", experimental=False),
        ),
        "client notifications": (
            CLIENT_NOTIFICATIONS,
            typescript_methods(binary, "ClientNotification", experimental=True),
        ),
        "notifications": (
            SERVER_NOTIFICATIONS,
            typescript_methods(binary, "ServerNotification", experimental=True),
        ),
        "server requests": (
            SERVER_REQUESTS,
            typescript_methods(binary, "ServerRequest", experimental=True),
        ),
    }
    equal = [_compare(what, mine, theirs) for what, (mine, theirs) in table.items()]
    return 0 if all(equal) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0 when equal, 1 when different, 2 when it could not run."""
    parser = argparse.ArgumentParser(
        prog="python -m app_server_protocol.registry",
        description="The method registry of this package.",
        epilog="Exit status: 0 equal, 1 different, 2 could not run.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    text = "count methods; with --codex-bin, compare them with those of a binary"
    verbs.add_parser("census", help=text, description=text).add_argument(
        "--codex-bin", metavar="PATH", help="a binary to compare with"
    )
    options = parser.parse_args(argv)
    try:
        return _census(_binary.find(options.codex_bin) if options.codex_bin else None)
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 2
