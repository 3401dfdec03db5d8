"""TCP connections to hosts that have several addresses: each gets its chance soon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import httpcore

from .early_answers import ListeningStream
from .last_words import LastWordsStream
from .resolver import NameNotFoundError, Resolver

__all__ = ["Connector"]

_NEXT_SECONDS: Final = 0.25
"""Before the next address is tried as well; RFC 8305 recommends this much."""


class Connector(httpcore.AnyIOBackend):
    """Connects like httpcore's own backend, with names from ``Resolver``."""

    def __init__(self, names: Resolver) -> None:
        self._names = names

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to the address that answers first.

        Raises:
            httpcore.ConnectError: The name does not resolve, or nobody is there.
        """
        try:
            addresses = await self._names.addresses(host)
        except NameNotFoundError as error:
            raise httpcore.ConnectError("the name does not resolve") from error
        return ListeningStream(
            await _first(
                lambda address: self.connect(address, port, timeout, local_address, socket_options),
                addresses,
            )
        )

    async def connect(self, address: str, *rest: Any) -> httpcore.AsyncNetworkStream:
        """Connect to one address; ``rest`` as in ``connect_tcp``."""
        stream: Any = await super().connect_tcp(address, *rest)
        with suppress(OSError):  # it takes a descriptor, without which the connection does as well
            stream._stream = LastWordsStream(stream._stream)  # httpcore has no other place for it
        return cast("httpcore.AsyncNetworkStream", stream)


async def _first(
    attempt: Callable[[str], Awaitable[httpcore.AsyncNetworkStream]], addresses: Sequence[str]
) -> httpcore.AsyncNetworkStream:
    """Try addresses one after the other, each a little later, until one is connected."""
    waiting = list(addresses)
    running: set[asyncio.Future[httpcore.AsyncNetworkStream]] = set()
    winner: httpcore.AsyncNetworkStream | None = None
    error: BaseException | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(asyncio.ensure_future(attempt(waiting.pop(0))))
            timeout = _NEXT_SECONDS if waiting else None
            done, running = await asyncio.wait(
                running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            for one in done:
                error = one.exception() or error
                if one.exception() is None:
                    running.add(one)  # those that are not the winner are closed below
                    winner = winner or one.result()
        if winner is None:
            raise error or httpcore.ConnectError("no address")
        return winner
    finally:
        for one in running:
            one.cancel()
        for result in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(result, BaseException) and result is not winner:
                await result.aclose()
