"""Size of the pages of a catch-up. Pure.

A page should take about half a second on the link: short enough that a reader has something
soon, that a connection which breaks loses little, and that other calls are not held up behind it;
long enough for the round trip to cost little. The measure is what arrived on the whole connection
while a page was awaited, so that live output in front of it makes no page smaller.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST_PAGE_BYTES", "Pace"]

FIRST_PAGE_BYTES: Final = 64 * 1024
"""Before anything is known of the link; also the least. A larger piece comes whole."""
_PAGE_SECONDS: Final = 0.5


class Pace:
    """The size of the next page.

    Args:
        largest: Bytes of all pages that are under way together.
        at_once: How many those may be.
    """

    def __init__(self, largest: int, at_once: int) -> None:
        self._largest = largest
        self._at_once = at_once
        self._window = FIRST_PAGE_BYTES * at_once

    @property
    def page_bytes(self) -> int:
        """Payload to ask for."""
        return max(1, min(self._window, self._largest) // self._at_once)

    def arrived(self, size: int, seconds: float) -> None:
        """A page has come.

        Args:
            size: Bytes that came on the connection since it was asked for.
            seconds: How long that was.
        """
        rate = size / max(seconds, 1e-3)
        window = int(rate * _PAGE_SECONDS)
        self._window = max(FIRST_PAGE_BYTES, min(window, self._largest))
