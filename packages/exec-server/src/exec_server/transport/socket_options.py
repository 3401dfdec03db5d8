"""Options and queries of a TCP socket beside sending and receiving."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from typing import Final

__all__ = ["peer_name", "prepare_socket", "unacknowledged_bytes"]

_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2}
"""Seconds, seconds, probes: a peer that vanished while idle is noticed after 20 s, inside
the 25 s for which a client tries to resume; until then its session counts as attached."""


def prepare_socket(sock: socket.socket | None) -> None:
    """Send small messages at once, and let the kernel find out when the peer has vanished.

    asyncio turns Nagle's algorithm off too, but only where the socket says that it is TCP's,
    and one that was accepted says what the listening one was made with, which may be nothing.
    """
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def peer_name(transport: asyncio.Transport | None) -> tuple[object, ...]:
    """Return address and port of a peer; nothing when it is unknown."""
    name = None if transport is None else transport.get_extra_info("peername")
    return name if isinstance(name, tuple) else ()


def unacknowledged_bytes(sock: socket.socket | None) -> int:
    """Return how many bytes the peer's system has not acknowledged; 0 where unknown."""
    if sock is None or not hasattr(termios, "TIOCOUTQ"):
        return 0
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)
