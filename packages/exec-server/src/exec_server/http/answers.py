"""A response as the client gets it: headers and bodies in the shapes of the wire. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import pybase64
from exec_server_protocol.rpc import RequestId, encode_json

__all__ = ["BodyText", "announced_length", "body_budget", "head", "headers_json", "whole_answer"]

_VISIBLE: Final = re.compile(rb"[\t\x20-\x7e]*")
"""Clients may refuse a whole response for one header value that is anything else."""

_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
"""What fits into 64 bits; whatever else is called a length is found out by reading."""

_WITHOUT_BODY: Final = frozenset({101, 204, 304})
"""Statuses of responses that end with their headers, whatever length these name."""

_PIECE_BYTES: Final = 1024 * 1024
"""Of an answer at once: a millisecond's work, after which others get their turn."""

_AROUND_BYTES: Final = 1024
"""Of an answer, apart from its headers and its body: members, and the request's id."""


def headers_json(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as the wire has them.

    Names are in lower case; repeats stay apart and come together, where the first one is. A
    value that is not visible ASCII is left out: a peer may not be able to take it.
    """
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        if _VISIBLE.fullmatch(value):
            grouped.setdefault(name.decode("ascii").lower(), []).append(value.decode("ascii"))
    return encode_json(
        [{"name": name, "value": value} for name, values in grouped.items() for value in values]
    )


def announced_length(status: int, headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return how long a response says that its body is, unless it has none or does not know.

    Args:
        status: A response to ``HEAD`` has no body whatever its status: not asked about here.
        headers: As they came.
    """
    if status in _WITHOUT_BODY:
        return None
    length = None
    for name, value in headers:
        if name.lower() == b"transfer-encoding":
            return None  # it wins over a length
        if name.lower() == b"content-length" and _LENGTH.fullmatch(value):
            length = int(value)
    return length


def body_budget(headers: bytes, message_bytes: int) -> int:
    """Return how large a body may be for its answer to fit into one message.

    Args:
        headers: As they will be sent.
        message_bytes: Largest message that peers take.
    """
    return max(0, (message_bytes - len(headers) - _AROUND_BYTES) // 4 * 3)


class BodyText:
    """A body as base64, encoded as it comes: at its end little is left to do at once.

    Attributes:
        size: Bytes of the body so far.
    """

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._rest = b""
        self.size = 0

    def add(self, piece: bytes) -> int:
        """Take the next piece; returns how much longer the text has become."""
        self.size += len(piece)
        data = self._rest + piece
        whole = len(data) // 3 * 3
        text = pybase64.b64encode(data[:whole])
        self._rest = data[whole:]
        self._texts.append(text)
        return len(text)

    def take(self) -> list[bytes]:
        """Return the text, in parts, and keep nothing of it."""
        texts, self._texts = self._texts, []
        return [*texts, pybase64.b64encode(self._rest)]


def head(status: int, headers: bytes) -> bytes:
    """Return the result of a streamed request: everything but its body.

    Args:
        status: Of the response.
        headers: From ``headers_json``.
    """
    return b'{"status":%d,"headers":%b,"bodyBase64":""}' % (status, headers)


def whole_answer(
    request_id: RequestId, status: int, headers: bytes, body: BodyText
) -> Iterator[bytes]:
    """Return the message that answers a buffered request, in pieces.

    Args:
        request_id: The request that it answers.
        status: Of the response.
        headers: From ``headers_json``.
        body: All of it; nothing of it is left there.
    """
    part = [
        b'{"id":%b,"result":{"status":%d,"headers":%b,"bodyBase64":"'
        % (encode_json(request_id), status, headers)
    ]
    size = 0
    texts = deque(body.take())
    while texts:  # each is freed when it has been handed on
        text = texts.popleft()
        part.append(text)
        size += len(text)
        if size >= _PIECE_BYTES:
            yield b"".join(part)
            part, size = [], 0
    yield b"".join([*part, b'"}}'])
