"""The look at who connects, before a byte of it is read, while sandboxes with a network run.

Who is confined gets no way around that by asking the server. Whether somebody is takes a look
at the processes of the machine, in a thread; the connection is not read meanwhile. Without such a
sandbox there is no look and no delay. Decision 20 has the reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

from ..sandbox.networked import Namespace, sandboxes

__all__ = ["Doorkeeper"]

REASON: Final = "a connection from inside a sandbox"

_WAITING: Final = 512
"""Connections that wait for a look; further ones are dropped. One look is for all that wait, and
takes milliseconds: only a crowd of this machine's own comes near."""

_TEXT: Final = b"this server takes no connections from inside its own sandboxes\n"
_REFUSAL: Final = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
) % (len(_TEXT), _TEXT)


class Doorkeeper:
    """Looks at each connection of a server that needs it.

    Args:
        make: Makes what a connection is handed to.
        refused: Told of each that is not, with one of a closed set of reasons.
    """

    def __init__(
        self, make: Callable[[], asyncio.BaseProtocol], refused: Callable[[str], None]
    ) -> None:
        self.make = make
        self.refused = refused
        self._waiting: list[_Visitor] = []
        self._looking: asyncio.Task[None] | None = None

    def protocol(self) -> asyncio.BaseProtocol:
        """Return what takes a connection that has just been accepted.

        Whoever is inside a sandbox has connected after that was remembered, and so before now.
        """
        around = sandboxes.now()
        return _Visitor(self, around) if around else self.make()

    def look_at(self, visitor: _Visitor) -> None:
        """Decide about a connection soon."""
        if len(self._waiting) >= _WAITING:
            visitor.drop()
            return
        self._waiting.append(visitor)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._waiting:
            visitors, self._waiting = self._waiting, []
            try:
                inside = await asyncio.to_thread(_which_are_inside, visitors)
            except BaseException:
                for visitor in visitors:
                    visitor.drop()
                raise
            for visitor, refused in zip(visitors, inside, strict=True):
                visitor.decided(inside=refused)

    async def close(self) -> None:
        """Drop the connections that are being looked at."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for visitor in self._waiting:
            visitor.drop()


class _Visitor(asyncio.Protocol):
    """One connection that may come from inside.

    Attributes:
        around: The sandboxes that it may come from.
    """

    def __init__(self, keeper: Doorkeeper, around: Collection[Namespace]) -> None:
        self.around = around
        self._keeper = keeper
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing, and have it looked at."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._keeper.look_at(self)

    def addresses(self) -> tuple[Any, Any]:
        """Return those of the other end and of ours."""
        told: Callable[[str], Any] = self._transport.get_extra_info
        return told("peername"), told("sockname")

    def drop(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    def decided(self, *, inside: bool) -> None:
        """Hand the connection on, or refuse it."""
        transport = self._transport
        if transport.is_closing():
            return
        if inside:
            self._keeper.refused(REASON)
            transport.write(_REFUSAL)
            transport.close()
            return
        endpoint = self._keeper.make()
        transport.set_protocol(endpoint)
        transport.resume_reading()  # nothing comes before the endpoint knows its transport
        endpoint.connection_made(transport)


def _which_are_inside(visitors: Sequence[_Visitor]) -> list[bool]:
    from .peers import come_from_inside  # its imports are needed only with sandboxes

    around = {namespace for visitor in visitors for namespace in visitor.around}
    return come_from_inside([visitor.addresses() for visitor in visitors], around)
