"""Writing answers, some of them with an open file."""

from __future__ import annotations

import _socket  # the module socket would take longer to import than an operation takes
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from .regular import after, write_all

__all__ = ["Stdout"]

_STDOUT: Final = 1


class Stdout:
    """Descriptor 1, blocking."""

    def __init__(self) -> None:
        os.set_blocking(_STDOUT, True)
        self._socket: _socket.socket | None = None
        own = os.dup(_STDOUT)
        try:
            self._socket = _socket.socket(fileno=own)
        except OSError:  # a pipe, through which no file can be handed on
            os.close(own)

    def write(
        self, buffers: Sequence[bytes | bytearray | memoryview], descriptor: int | None = None
    ) -> None:
        """Write everything.

        Args:
            buffers: One after the other.
            descriptor: An open file to hand on with the first byte, if there is a way. It stays
                open here.

        Raises:
            OSError: As the system says; ``EPIPE`` when nobody reads any more.
        """
        if descriptor is not None and self._socket is not None:
            rights = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", descriptor)
            with suppress(OSError):  # the write below raises what is wrong with the socket
                buffers = after(buffers, self._socket.sendmsg(buffers, [rights]))
        if buffers:
            write_all(_STDOUT, buffers)
