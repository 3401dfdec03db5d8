"""Policies of the command line: what commands and file operations may do."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from .exit_codes import CommandError

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import NetworkAccess, SandboxContext

    from ..client import Client

__all__ = ["add_sandbox_arguments", "sandbox_of"]

_MODES: Final = ("read-only", "workspace-write")


def add_sandbox_arguments(parser: ArgumentParser) -> None:
    """Add the options that say what the executor lets happen."""
    group = parser.add_argument_group(
        "sandbox", "enforced by the executor; without --sandbox it lets everything happen"
    )
    group.add_argument(
        "--sandbox",
        choices=_MODES,
        help="read-only: read everything, write nothing. workspace-write: write below --cwd, the "
        "executor's folder without it, and in its temporary folders too",
    )
    group.add_argument(
        "--writable",
        metavar="DIR",
        action="append",
        default=[],
        help="another folder that workspace-write lets be written (repeatable)",
    )
    group.add_argument(
        "--allow-network", action="store_true", help="let sandboxed commands use the network"
    )


def sandbox_of(arguments: Namespace, client: Client) -> SandboxContext | None:
    """Return the policy that the options ask for; ``None`` for none.

    Raises:
        CommandError: Options that would have no effect: better none than a false belief.
    """
    mode = arguments.sandbox
    if mode != "workspace-write" and arguments.writable:
        raise CommandError("--writable needs --sandbox workspace-write")
    if mode is None:
        if arguments.allow_network:
            raise CommandError("--allow-network needs --sandbox")
        return None
    from exec_server_protocol.sandbox import SandboxContext

    from ..filesystem.paths import to_uri

    own = client.environment_info.cwd
    folder = to_uri(getattr(arguments, "cwd", None) or os.curdir, own)
    network: NetworkAccess = "enabled" if arguments.allow_network else "restricted"
    if mode == "read-only":
        return SandboxContext.read_only(network=network, cwd=folder)
    roots = [folder, *(to_uri(path, folder) for path in arguments.writable)]
    return SandboxContext.workspace_write(roots, network=network, cwd=folder)
