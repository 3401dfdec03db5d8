"""Resolver of host names, on threads that nothing waits for.

The system's resolver blocks, for half a minute when its servers do not answer. On the event
loop's own threads that would hold up whatever else needs one, and the end of the process.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

__all__ = ["NameNotFoundError", "Resolver"]

_LOOKUPS: Final = 32
"""At once. More wait for their turn, within the time of their request."""

_Lookup = Callable[[str], Sequence[str]]


class NameNotFoundError(Exception):
    """A host name does not resolve."""


def _system_lookup(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Looks names up. One for all requests of a server.

    Args:
        lookup: Returns the addresses of a name, blocking; raises ``OSError`` or ``UnicodeError``
            when there are none.
    """

    def __init__(self, lookup: _Lookup = _system_lookup) -> None:
        self._lookup = lookup
        self._turns = asyncio.Semaphore(_LOOKUPS)

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of ``host``, those of both families in turns.

        Cancelling leaves the thread to end by itself; it keeps its place until then.

        Raises:
            NameNotFoundError: There are none.
        """
        if _is_address(host):
            return [host]
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[str]] = loop.create_future()
        thread = threading.Thread(
            target=self._run, args=(host, loop, future), name="exec-server-names", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            self._turns.release()
            raise
        return await future

    def _run(
        self, host: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Sequence[str]]
    ) -> None:
        error: Exception | None = None
        addresses: Sequence[str] = ()
        try:
            addresses = _alternate(self._lookup(host))
        except (OSError, UnicodeError) as failure:
            error = NameNotFoundError(str(failure))
        except Exception as failure:  # noqa: BLE001 - handed on to whoever waits
            error = failure
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._settle, future, addresses, error)

    def _settle(
        self,
        future: asyncio.Future[Sequence[str]],
        addresses: Sequence[str],
        error: Exception | None,
    ) -> None:
        self._turns.release()
        if future.cancelled():
            return
        if error is not None or not addresses:
            future.set_exception(error or NameNotFoundError("no addresses"))
        else:
            future.set_result(addresses)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alternate(addresses: Sequence[str]) -> Sequence[str]:
    """Return each address once, the two families in turns, beginning with the first one's."""
    unique = list(dict.fromkeys(addresses))
    first = [one for one in unique if (":" in one) == (":" in unique[0])]
    second = [one for one in unique if one not in first]
    result: list[str] = []
    while first or second:
        result += first[:1] + second[:1]
        first, second = first[1:], second[1:]
    return result
