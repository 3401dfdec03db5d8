"""Getting a client for a subcommand: from an option, a variable, or a server of one's own."""

from __future__ import annotations

import os
import stat
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from . import collector
from .exit_codes import CommandError
from .messages import Messages

if TYPE_CHECKING:
    from exec_server_protocol.rpc import Trace

    from ..client import Client

__all__ = ["add_connection_arguments", "open_client", "with_executor"]

T = TypeVar("T")


def add_connection_arguments(parser: ArgumentParser) -> None:
    """Add the options that say which executor to use."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="executor to use, ws://HOST:PORT, wss://HOST or HOST:PORT (default: "
        "$EXEC_SERVER_URL, then $CODEX_EXEC_SERVER_URL, else a server of our own on this machine)",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing but errors on stderr"
    )
    group = parser.add_argument_group("access to the executor that the URL names")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the bearer token, read anew for each connection (default: "
        "$EXEC_SERVER_TOKEN). No option takes the token itself: command lines are not secret",
    )
    group.add_argument(
        "--allow-insecure-token",
        action="store_true",
        help="send the token over ws:// to other machines, where it can be read on its way",
    )
    group.add_argument(
        "--cacert", metavar="FILE", help="PEM certificates to trust instead of the system's"
    )
    group.add_argument("--cert", metavar="FILE", help="PEM certificate chain of this client")
    group.add_argument(
        "--key", metavar="FILE", help="its PEM private key (default: in the file of --cert)"
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
    url = _executor(arguments)
    access = _access(arguments, url)
    async with AsyncExitStack() as stack:
        server = None
        if url is None:
            from ..embedded import EmbeddedServer

            server = EmbeddedServer(started=getattr(arguments, "started_server", None))
            stack.push_async_callback(server.aclose)
            server.launch()
        # Importing the client takes as long as the server takes to come up: both at once.
        from ..client import connect
        from ..options import ClientOptions

        # A write that is repeated is recognised by its id, so stdin survives a cut whole.
        options = ClientOptions(
            client_name="exec-client",
            replay_writes=True,
            **access,
            trace=_trace(),
        )
        if server is not None:
            url = await server.wait_ready()
            options = server.client_options(options)
        connection = connect(url or "", options=options, session_id=session_id)
        client = await stack.enter_async_context(connection)
        collector.loaded()
        yield client


def with_executor(arguments: Namespace, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run what a subcommand does with an executor, from beginning to end.

    A server of our own is started first of all: it comes up while the rest is loaded.

    Args:
        arguments: Parsed command line.
        work: Uses ``open_client`` with the same arguments.
    """
    started = None
    if _executor(arguments) is None:
        from ..server_program import start_program

        started = arguments.started_server = start_program()
    try:
        import asyncio

        return asyncio.run(work())
    finally:
        if started is not None:
            started.end()  # where nobody came to take it over


def _executor(arguments: Namespace) -> str | None:
    """Return the URL of the executor to use; ``None`` for a server of our own.

    Raises:
        CommandError: There is none, or the URL names none.
    """
    from ..urls import executor_url, is_disabled, normalize_url, url_from_environ

    url = normalize_url(arguments.url)
    if url is None and arguments.url is not None:  # such as "$UNSET": nobody meant this machine
        raise CommandError("--url is empty; without it, commands run on this machine")
    url = url or url_from_environ(os.environ)
    if is_disabled(url):
        raise CommandError("there is no executor: the URL is `none`")
    if url is not None:
        from ..urls import executor_url

        try:
            url = executor_url(url)
        except ValueError as error:
            raise CommandError(f"not a URL of an executor: {url!r}: {error}") from error
    return url


def _trace() -> Callable[[str], Trace | None] | None:
    if "TRACEPARENT" not in os.environ:
        return None
    from .telemetry import trace_of_environment

    return trace_of_environment(os.environ)


def _access(arguments: Namespace, url: str | None) -> dict[str, Any]:
    """Return the options of a client about its token, its certificate and those it trusts.

    Raises:
        CommandError: There are such options, and nobody whom they are for.
    """
    from ..access import TlsFiles, TokenFile, token_from_environ

    files = TlsFiles(arguments.cacert, arguments.cert, arguments.key)
    token_file = arguments.token_file
    if url is None:
        if token_file is not None or files != TlsFiles():
            raise CommandError("--token-file, --cacert, --cert and --key need a URL to go with")
        return {}
    if files != TlsFiles() and url.startswith("ws://"):
        raise CommandError("--cacert, --cert and --key need a wss:// URL")
    if token_file is not None and _is_open_to_others(token_file):
        Messages(quiet=arguments.quiet).note("warning: other users may read the token file")
    return {
        "token": token_from_environ(os.environ) if token_file is None else TokenFile(token_file),
        "allow_insecure_token": arguments.allow_insecure_token,
        "ssl": None if files == TlsFiles() else files,
    }


def _is_open_to_others(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False  # reading it will say why
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))
