"""Places for connections of which nobody knows yet whether they may stay. Pure.

There are only so many. When they are taken, a newcomer still gets one: whoever has waited
longest among those from the busiest address loses its place. So a scanner, or clients that
connect and say nothing, push out each other, and not somebody who connects from elsewhere
and proves itself at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

__all__ = ["Place", "WaitingRoom", "source_of"]

_SITE_PREFIX = 64
"""An IPv6 site has 2**64 addresses to come from and counts as one."""


def source_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or an IPv6 network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _SITE_PREFIX), strict=False).network_address)


class Place:
    """One place, from ``enter`` to ``leave``."""

    __slots__ = ("_evict", "_room", "source")

    def __init__(self, room: WaitingRoom, source: str, evict: Callable[[], None]) -> None:
        self._room = room
        self._evict = evict
        self.source = source

    def leave(self) -> None:
        """Give the place back. Repeating it does nothing."""
        self._room._forget(self)

    def evict(self) -> None:
        """Close the connection that has the place."""
        self._room._forget(self)
        self._evict()


class WaitingRoom:
    """Counts places and decides who loses one.

    Args:
        capacity: How many there are, one at least.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._places: dict[str, dict[Place, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, source: str, evict: Callable[[], None]) -> Place:
        """Take a place.

        Args:
            source: See ``source_of``.
            evict: Called when the place is taken away again; it may be called at once for
                others, never for this one.
        """
        place = Place(self, source, evict)
        if self._count >= self._capacity:
            # The newcomer counts where it comes from: the source that fills the room pays.
            busiest = max(self._places, key=lambda s: len(self._places[s]) + (s == source))
            next(iter(self._places[busiest])).evict()
        self._places.setdefault(source, {})[place] = None
        self._count += 1
        return place

    def _forget(self, place: Place) -> None:
        places = self._places.get(place.source)
        if places is None or place not in places:
            return
        del places[place]
        self._count -= 1
        if not places:
            del self._places[place.source]
