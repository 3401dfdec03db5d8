"""A response as the client gets it: headers and bodies in the shapes of the wire. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import pybase64
from exec_server_protocol.rpc import encode_json

__all__ = ["answer", "body_budget", "headers_json"]

_VISIBLE: Final = re.compile(rb"[\t\x20-\x7e]*")
"""Clients may refuse a whole response for one header value that is anything else."""

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


def body_budget(headers: bytes, message_bytes: int) -> int:
    """Return how large a body may be for its answer to fit into one message.

    Args:
        headers: As they will be sent.
        message_bytes: Largest message that peers take.
    """
    return max(0, (message_bytes - len(headers) - _AROUND_BYTES) // 4 * 3)


def answer(status: int, headers: bytes, body: Sequence[bytes] = ()) -> bytes:
    """Return the result of a request as JSON.

    Args:
        status: Of the response.
        headers: From ``headers_json``.
        body: The pieces of a buffered one.
    """
    encoded = pybase64.b64encode(b"".join(body))
    return b'{"status":%d,"headers":%b,"bodyBase64":"%b"}' % (status, headers, encoded)
