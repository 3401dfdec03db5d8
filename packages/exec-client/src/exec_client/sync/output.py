"""Output streams without ``async``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .portal import Portal, PortalIterator
from .portal import timeout as limit

if TYPE_CHECKING:
    from ..gaps import Gap
    from ..process import output as _output

__all__ = ["OutputStream"]


class OutputStream:
    """``exec_client.OutputStream`` without ``async``: iterate over it, or read."""

    def __init__(self, portal: Portal, stream: _output.OutputStream) -> None:
        self._portal = portal
        self._stream = stream

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps that a reader has come to, with ``lost_output="gap"``."""
        return self._stream.gaps

    def read(self, n: int = -1, timeout: float | None = None) -> bytes:
        """Return up to ``n`` bytes; everything to the end when negative.

        Raises:
            TimeoutError: It is not there within so many seconds. What has arrived can be read.
        """
        with limit(timeout):
            return self._portal.call(self._stream.read(n))

    def readline(self, timeout: float | None = None) -> bytes:
        """Return the next line with its end, or what is left, or nothing.

        Raises:
            TimeoutError: As ``read``.
        """
        with limit(timeout):
            return self._portal.call(self._stream.readline())

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
        """Return the output decoded, as it arrives; characters are never torn apart."""
        return PortalIterator(self._portal, self._stream.text(encoding, errors))

    def lines(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
        """Return the output decoded, line by line, without the line ends."""
        return PortalIterator(self._portal, self._stream.lines(encoding, errors))

    def __iter__(self) -> Iterator[bytes]:
        return PortalIterator(self._portal, self._stream)
