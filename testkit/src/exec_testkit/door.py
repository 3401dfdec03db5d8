"""Knocking at a server's door: one HTTP request over a plain socket, and what it answers."""

from __future__ import annotations

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

__all__ = ["UPGRADE", "UPGRADE_REQUEST", "knock"]

UPGRADE: Final = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
"""Headers of a proper upgrade."""

UPGRADE_REQUEST: Final = b"\r\n".join((b"GET / HTTP/1.1", b"Host: x", *UPGRADE, b"", b""))
"""All of it."""

_WAIT_SECONDS: Final = 20.0


def knock(
    url: str,
    *headers: bytes,
    request_line: bytes = b"GET / HTTP/1.1",
    upgrade: bool = True,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Send a request; returns status and body of the answer, 101 with an empty one.

    Args:
        url: Where, ``ws://`` or ``wss://``.
        *headers: Lines, as they are.
        request_line: The first line.
        upgrade: Add the headers of an upgrade.
        tls: For ``wss://``.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.create_connection((parts.hostname, parts.port), _WAIT_SECONDS) as plain:
        lines = (request_line, b"Host: x", *(UPGRADE if upgrade else ()), *headers, b"", b"")
        sock = plain if tls is None else tls.wrap_socket(plain, server_hostname=parts.hostname)
        with sock:
            sock.sendall(b"\r\n".join(lines))
            return _answer(sock)


def _answer(sock: socket.socket) -> tuple[int, str]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError("the server ended the connection without an answer")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status != 101:
        while piece := sock.recv(65536):
            body += piece
    return status, body.decode()
