"""Interface of a request, as its worker sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from exec_server_protocol.helper import HelperError

__all__ = ["Call"]


class Call(Protocol):
    """A request to a worker, and what becomes of it. One of the last three ends it."""

    @property
    def needs_sandbox(self) -> bool:
        """Whether it is about paths, and not only about a file that is open already."""

    @property
    def take_file(self) -> Callable[[int], None] | None:
        """Callback for the open file that may come with the result, called just before that."""

    def check(self, text: bytes, *, last: bool) -> None:
        """Look at the next piece of the result, before anything is done with it.

        Raises:
            MalformedMessageError: No worker that is sound would say that.
        """

    def encode(self, data: bytes, *, last: bool) -> bytes:
        """Return the next piece of the result, for the next bytes of a bulk result.

        Raises:
            MalformedMessageError: It has no bytes.
            MessageTooLargeError: It has fewer.
        """

    def part(self, text: bytes) -> None:
        """Take a piece of the result; more will come."""

    def result(self, text: bytes) -> None:
        """Take the last piece, often the only one."""

    def error(self, error: HelperError) -> None:
        """Take the reason why the request failed."""

    def lost(self, reason: str, *, begun: bool) -> None:
        """Learn that there will be no answer; unless ``begun``, nothing was done either."""
