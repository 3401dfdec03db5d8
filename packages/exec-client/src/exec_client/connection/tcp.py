"""TCP connections, as the system sees them. Standard library only.

Linux knows when something last came and what is under way; elsewhere pings have to do.
Server and client have the same module each: what they share does no I/O.
"""

from __future__ import annotations

import math
import select
import socket
import struct
from contextlib import suppress
from typing import Final

__all__ = ["limit_unacknowledged", "silence"]

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_TCP_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)
_TCP_INFO_BYTES: Final = 148
"""Of ``struct tcp_info``, whose beginning never changes."""
_IN_FLIGHT_AT: Final = 24
"""Segments that were sent and not acknowledged."""
_LAST_ACKNOWLEDGEMENT_AT: Final = 56
"""Milliseconds since the latest one."""
_TICK_SECONDS: Final = 0.01
"""The system's clock is as coarse as that: an answer must not seem older than its question."""
_NOT_SENT_AT: Final = 144
"""Bytes that were written and not sent."""


def _info(sock: socket.socket | None) -> bytes | None:
    if sock is None or _TCP_INFO is None:
        return None
    with suppress(OSError):  # no TCP, or over
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES)
        if len(info) == _TCP_INFO_BYTES:
            return info
    return None


def _number(info: bytes, offset: int) -> int:
    number: int = struct.unpack_from("=I", info, offset)[0]
    return number


def silence(sock: socket.socket | None, *, reading: bool) -> float:
    """Return for how many seconds the peer's side has said nothing, as far as that shows here.

    Args:
        sock: The connection's.
        reading: Whether it is being read: then only what still has to be read says anything.
            What a connection brings that is not read is not to be seen, but its system
            acknowledges what it is sent.
    """
    if reading:
        return 0.0 if sock is not None and _is_readable(sock) else math.inf
    info = _info(sock)
    if info is None:
        return 0.0
    return max(_number(info, _LAST_ACKNOWLEDGEMENT_AT) / 1000 - _TICK_SECONDS, 0.0)


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def limit_unacknowledged(sock: socket.socket | None, seconds: float) -> None:
    """Have Linux end a connection on which nothing was acknowledged for so long; 0 is off.

    It would do the same to a peer that acknowledges everything and takes no more, because
    nobody reads there for a while. That is its right, so the limit is off while only that is
    waited for: to be called again before ``seconds`` have passed.
    """
    info = _info(sock)
    if sock is None or info is None or _TCP_USER_TIMEOUT is None:
        return
    if _number(info, _NOT_SENT_AT) and not _number(info, _IN_FLIGHT_AT):
        seconds = 0
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(seconds * 1000))
