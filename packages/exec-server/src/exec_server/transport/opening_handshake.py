"""The HTTP request before a WebSocket: what it is answered with.

The order of the checks: ``Origin``, route, upgrade headers, authentication. So a request
that is no upgrade learns nothing about tokens, and a stranger nothing about the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from http import HTTPStatus
from typing import Final

from websockets.http11 import Response
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from ..access.authorization import Denial
from .request_head import HeadTooLargeError, UpgradeRequest, read_head
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
    """The library's protocol, with a reader of requests of our own.

    It behaves the same under ``websockets`` 15, 16 and 17.

    Args:
        message_bytes: Of a message, at most.
        frame_bytes: Of one of its frames.
    """

    cur_size: int | None = None
    """Bytes of the message whose end has not come yet; kept by ``websockets`` 15 only."""

    def __init__(self, message_bytes: int, frame_bytes: int) -> None:
        self._message_bytes = message_bytes
        self._frame_bytes = frame_bytes
        super().__init__(max_size=message_bytes, logger=_quiet)
        self.max_fragment_size = frame_bytes  # since websockets 16

    @property
    def max_size(self) -> int:
        """Bound of ``websockets`` 15, compared with ``cur_size`` and the frame that comes next."""
        return min(self._message_bytes, self._frame_bytes + (self.cur_size or 0))

    @max_size.setter
    def max_size(self, value: int) -> None:
        """Leave it as it is. ``websockets`` 15 sets it once, when the protocol is made."""

    def parse(self) -> Generator[None, None, None]:
        """Read the request, then what the library reads: frames, once it was accepted."""
        try:
            request = yield from read_head(self.reader)
        except HeadTooLargeError as error:
            self.send_response(self._refuse_too_large(error.status))
        except (ValueError, EOFError) as error:
            # No HTTP: there is nobody who could read an answer.
            self.handshake_exc = error
            self.send_eof()
            self.parser = self.discard()
            next(self.parser)
        else:
            self.events.append(request)
            yield from Protocol.parse(self)
            return
        yield  # what still comes goes to the parser that takes the place of this one

    def _refuse_too_large(self, status: int) -> Response:
        # The line that was too long is still where it was read from.
        line = bytes(self.reader.buffer[: len(_AUTHORIZATION)])
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and line.lower() == _AUTHORIZATION:
            return self.reject(HTTPStatus.UNAUTHORIZED, f"{Denial.MALFORMED.value}\n")
        return self.reject(status, "the head of the request is too large\n")


def answer(
    protocol: HandshakeProtocol,
    request: UpgradeRequest,
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
    if refusal is None and request.protocol != "HTTP/1.1":
        refusal = Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "an upgrade needs HTTP/1.1\n")
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
