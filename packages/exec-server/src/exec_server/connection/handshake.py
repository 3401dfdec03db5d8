"""The HTTP request before a WebSocket: what it is answered with.

The order of the checks: ``Origin``, route, upgrade headers, authentication. So a request
that is no upgrade learns nothing about tokens, and a stranger nothing about the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from ..access.authorization import Denial
from .upgrade import Refusal, decide

__all__ = ["MAX_REQUEST_BYTES", "HandshakeProtocol", "answer"]

MAX_REQUEST_BYTES: Final = 64 * 1024
"""Of a whole request: several times what the longest token needs. A single line may have
8 KiB; the library alone would keep 128 of them for anybody."""

_AUTHORIZATION: Final = b"authorization:"


_quiet = logging.getLogger("exec_server.websocket")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
"""For the library, whose messages quote what a peer sent."""


class HandshakeProtocol(ServerProtocol):
    """The library's protocol, with an answer of our own to a token of absurd length.

    Args:
        message_bytes: Of a message, at most.
        frame_bytes: Of one of its frames.
    """

    def __init__(self, message_bytes: int, frame_bytes: int) -> None:
        super().__init__(max_size=(message_bytes, frame_bytes), logger=_quiet)

    def reject(self, status: int, text: str) -> Response:
        """Return a plain answer that is not the upgrade."""
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            # The line that was too long is still where it was read from.
            line = bytes(self.reader.buffer[: len(_AUTHORIZATION)])
            if line.lower() == _AUTHORIZATION:
                return super().reject(HTTPStatus.UNAUTHORIZED, f"{Denial.MALFORMED.value}\n")
        return super().reject(status, text)


def answer(
    protocol: HandshakeProtocol,
    request: Request,
    examine: Callable[[Sequence[str]], Refusal | None],
) -> Response:
    """Return the response to a request; its status is 101 when the client may come in.

    Args:
        protocol: Of the connection.
        request: What came.
        examine: Called with the ``Authorization`` headers of a request that is an upgrade in
            every other respect; returns the answer to one that is not granted.
    """
    headers = request.headers
    refusal = decide(request.method, request.path, has_origin="Origin" in headers)
    if refusal is None:
        response = protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        refusal = examine(headers.get_all("Authorization"))
        if refusal is None:
            return response
    response = protocol.reject(refusal.status, refusal.text)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    if request.method == "HEAD":
        response.body = b""
    return response
