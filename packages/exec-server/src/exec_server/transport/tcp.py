"""TCP connections, as the system sees them.

Linux knows when something last came and what is under way; elsewhere pings have to do.
Server and client have the same module each: what they share does no I/O.
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from typing import Final

from exec_server_protocol._liveness import Liveness

__all__ = ["limit_unacknowledged", "note_signs"]

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


def _seconds_since_acknowledgement(sock: socket.socket | None) -> float:
    """Return how long ago the peer's system said anything at all; 0 where that is unknown."""
    info = _info(sock)
    if info is None:
        return 0.0
    return max(_number(info, _LAST_ACKNOWLEDGEMENT_AT) / 1000 - _TICK_SECONDS, 0.0)


def _is_readable(sock: socket.socket | None) -> bool:
    """Whether something has come and was not read yet, as far as that can be known."""
    if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def note_signs(liveness: Liveness, sock: socket.socket | None, now: float, *, read: bool) -> None:
    """Tell what a socket shows before its connection is judged.

    Args:
        liveness: Of the connection.
        sock: Its socket.
        now: Loop time.
        read: Whether it is being read. What comes over one that is not is not to be seen, but
            the peer's system acknowledges what it is sent.
    """
    if not read:
        liveness.seen(now - _seconds_since_acknowledgement(sock))
    elif _is_readable(sock):
        liveness.heard(now)


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
