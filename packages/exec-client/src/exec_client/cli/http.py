"""``exec-client http``: one HTTP request, made by the executor."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Final

from .connection import add_connection_arguments, with_executor
from .durations import DURATION, duration
from .exit_codes import CommandError
from .printing import printable

if TYPE_CHECKING:
    from exec_server_protocol.http import HttpHeader

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "make an HTTP request from the executor"

_DESCRIPTION: Final = """\
Make one HTTP request from the executor, with its network, its proxies and its certificates,
and write the body of the response to stdout as it comes. Ends with 0 for a status below 400,
1 for any other, 125 when there is no whole response.
"""
_EPILOG: Final = """\
examples:
  exec-client http GET http://service.internal/health
  exec-client http GET https://api.internal/jobs --header-env 'Authorization: Bearer ' CI_TOKEN
  exec-client http POST http://service.internal/items -H 'Content-Type: text/plain' --data - < file
"""
STDOUT: Final = 1


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise ArgumentTypeError(f"expected 'Name: value', got {text!r}")
    return name, value.removeprefix(" ")


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``http``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_connection_arguments(parser)
    parser.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", type=_header, action="append", default=[]
    )
    parser.add_argument(
        "--header-env",
        metavar=("'NAME: VALUE'", "VARIABLE"),
        nargs=2,
        action="append",
        default=[],
        help="a header whose value ends with a variable of the executor's environment",
    )
    parser.add_argument(
        "--data", metavar="TEXT", help="body of the request; - reads it from stdin, as it is"
    )
    parser.add_argument(
        "--timeout",
        metavar=DURATION,
        type=duration,
        help="for all of it: seconds, or 500ms, 5m (default: no limit)",
    )
    parser.add_argument("--no-follow", action="store_true", help="do not follow redirects")
    parser.add_argument(
        "-i", "--include", action="store_true", help="write status and headers first"
    )
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("target", metavar="TARGET", help="http:// or https:// URL")


def execute(arguments: Namespace) -> int:
    """Make the request."""
    return with_executor(arguments, lambda: _request(arguments))


async def _request(arguments: Namespace) -> int:
    from .connection import open_client
    from .messages import Messages

    body: bytes = (arguments.data or "").encode("utf-8", "surrogateescape")
    if arguments.data == "-":
        body = sys.stdin.buffer.read()
    messages = Messages(quiet=arguments.quiet)
    async with open_client(arguments) as client, messages.recoveries(client):
        from .streams import StreamWriter

        writer = StreamWriter(STDOUT)
        try:
            async with client.http.stream(
                arguments.method,
                arguments.target,
                headers=_headers(arguments),
                body=body,
                timeout=arguments.timeout,
                follow_redirects=not arguments.no_follow,
            ) as response:
                if arguments.include:
                    lines = [f"HTTP {response.status}"]
                    lines += [
                        printable(f"{name}: {value}", keep="\t") for name, value in response.headers
                    ]
                    await writer.write("\n".join([*lines, "", ""]).encode())
                async for piece in response:
                    await writer.write(piece)
        finally:
            writer.close()
    return int(response.status >= 400)


def _headers(arguments: Namespace) -> list[tuple[str, str] | HttpHeader]:
    from exec_server_protocol.http import HttpHeader

    headers: list[tuple[str, str] | HttpHeader] = list(arguments.header)
    for text, variable in arguments.header_env:
        try:
            name, value = _header(text)
        except ArgumentTypeError as error:
            raise CommandError(f"--header-env: {error}") from error
        headers.append(HttpHeader(name=name, value=value, value_env_var=variable))
    return headers
