"""The head of an HTTP request, as bytes become it. Pure.

It is read here and not by ``websockets``, whose versions differ in what they take: 15 and 16 end
a connection without an answer for every request that is no ``GET``, and for lines that are too
long. Load balancers probe with ``HEAD``, and a client with a long token should get an answer.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.streams import StreamReader

__all__ = ["HeadTooLargeError", "UpgradeRequest", "read_head"]

_LINE_BYTES: Final = 8192
"""Of a line with its end; servers of HTTP commonly take 8 KiB."""
_HEADERS: Final = 128
"""Of a request. Browsers send some twenty."""

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


@dataclass
class UpgradeRequest(Request):
    """A request of any method; ``Request`` of ``websockets`` 15 and 16 has no method."""

    method: str = "GET"
    protocol: str = "HTTP/1.1"


class HeadTooLargeError(ValueError):
    """A line or the number of headers is beyond what is taken.

    Attributes:
        status: To answer with.
    """

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def read_head(reader: StreamReader) -> Generator[None, None, UpgradeRequest]:
    """Read a request up to its empty line; yields whenever bytes are missing.

    Args:
        reader: Of the connection. What is too long stays in it.

    Raises:
        HeadTooLargeError: See there.
        ValueError: It is no request of HTTP/1.0 or 1.1, or has a body.
        EOFError: The connection ends before the request does.
    """
    line = yield from _read_line(reader, HTTPStatus.REQUEST_URI_TOO_LONG)
    first = _REQUEST_LINE.fullmatch(line)
    if first is None:
        raise ValueError("no request line")
    headers = Headers()
    for _ in range(_HEADERS + 1):
        line = yield from _read_line(reader, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not line:
            break
        header = _HEADER.fullmatch(line)
        if header is None:
            raise ValueError("no header")
        # ISO 8859-1 takes any byte; what is in a value is for those to judge who use it.
        headers[header[1].decode("ascii")] = header[2].rstrip(b" \t").decode("iso-8859-1")
    else:
        raise HeadTooLargeError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    # A body would be read as WebSocket frames. Some devices send a length of 0.
    if "Transfer-Encoding" in headers or not set(headers.get_all("Content-Length")) <= {"0"}:
        raise ValueError("a body")
    method, target, minor = (part.decode("ascii") for part in first.groups())
    return UpgradeRequest(path=target, headers=headers, method=method, protocol=f"HTTP/1.{minor}")


def _read_line(reader: StreamReader, too_long: HTTPStatus) -> Generator[None, None, bytes]:
    try:
        line = yield from reader.read_line(_LINE_BYTES)
    except RuntimeError as error:  # what the reader says of a line without an end
        raise HeadTooLargeError(too_long) from error
    if not line.endswith(b"\r\n"):
        raise ValueError("a line ends with CRLF")
    return bytes(line[:-2])
