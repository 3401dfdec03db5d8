"""Getting a client for a subcommand: from an option, a variable, or a server of one's own."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from .exit_codes import CommandError
from .telemetry import trace_of_environment

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["add_connection_arguments", "open_client"]


def add_connection_arguments(parser: ArgumentParser) -> None:
    """Add the options that say which executor to use."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="executor to use, ws://HOST:PORT or wss://HOST (default: $EXEC_SERVER_URL, then "
        "$CODEX_EXEC_SERVER_URL, else a server of our own on this machine)",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing but errors on stderr"
    )


@asynccontextmanager
async def open_client(
    arguments: Namespace, *, session_id: str | None = None
) -> AsyncIterator[Client]:
    """Connect to the executor that the options and variables name.

    Without one, an ``exec-server`` is started for the length of the block.

    Args:
        arguments: Parsed command line.
        session_id: A session to attach to instead of a new one.

    Raises:
        CommandError: The variables say that there is no environment.
        ClientError: The executor cannot be reached, or there is no program to start.
    """
    from ..environment.config import is_disabled, normalize_url, url_from_environ

    url = normalize_url(arguments.url) or url_from_environ(os.environ)
    if is_disabled(url):
        raise CommandError("there is no executor: the URL is `none`")
    async with AsyncExitStack() as stack:
        server = None
        if url is None:
            from ..embedded import EmbeddedServer

            server = EmbeddedServer()
            stack.push_async_callback(server.aclose)
            server.launch()
        # Importing the client takes as long as the server takes to come up: both at once.
        from ..client import connect
        from ..embedded import embedded_options
        from ..options import ClientOptions

        # A write that is repeated is recognised by its id, so stdin survives a cut whole.
        options = ClientOptions(
            client_name="exec-client",
            replay_writes=True,
            trace=trace_of_environment(os.environ),
        )
        if server is not None:
            url = await server.wait_ready()
            options = embedded_options(options)
        connection = connect(url or "", options=options, session_id=session_id)
        yield await stack.enter_async_context(connection)
