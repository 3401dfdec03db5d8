"""Starting a worker: a child on one socket, which is its stdin and its stdout."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import SpawnError

__all__ = ["LaunchedWorker", "launch", "make_sockets"]

_SOCKET_BYTES: Final = 1024 * 1024
"""What the kernel is asked to hold each way; it may grant less. The more, the fewer times
the two sides wake each other up."""


@dataclass(slots=True)
class LaunchedWorker:
    """A child, not yet known to be a worker.

    Attributes:
        popen: Owns the pid until it has been reaped. Leads a process group.
        socket: This side's end, non-blocking.
        on_ended: Called once when the child has been reaped.
    """

    popen: subprocess.Popen[bytes]
    socket: socket.socket
    on_ended: Callable[[], None] | None = None


def make_sockets() -> tuple[socket.socket, socket.socket]:
    """Return this side's end, and the worker's.

    A socket and not pipes: a round trip takes a quarter of the time, and bulk data a third.

    Raises:
        OSError: No more descriptors.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    ours.setblocking(False)
    return ours, theirs


def launch(command: Sequence[str], env: Mapping[str, str]) -> LaunchedWorker:
    """Start a worker that nothing confines. Call it on the event loop: it is a ``vfork``.

    Raises:
        SpawnError: It could not be started. Nothing is left of it.
    """
    try:
        ours, theirs = make_sockets()
    except OSError as error:
        raise SpawnError.from_os_error(error) from error
    try:
        popen = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            # What a helper says to people is of no use to a peer, and could fill a disk.
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=dict(env),
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise SpawnError.from_os_error(error) from error
    finally:
        theirs.close()
    return LaunchedWorker(popen, ours)
