"""One request and its redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .failures import RequestFailedError
from .network import Network
from .outgoing import OutgoingRequest
from .redirects import MAX_REDIRECTS, next_request
from .sending import IncomingResponse, send

__all__ = ["exchange"]


@asynccontextmanager
async def exchange(
    request: OutgoingRequest, network: Network, *, follow: bool
) -> AsyncIterator[IncomingResponse]:
    """Send a request, follow redirects if it says so, and yield the last response.

    Args:
        request: The first one.
        network: Finds routes.
        follow: Whether a redirect is followed, or is the response.

    Raises:
        RequestFailedError: There is no last response.
    """
    for _ in range(MAX_REDIRECTS + 1):
        async with send(request, network) as response:
            following = None
            if follow:
                location = response.header(b"location")
                following = next_request(request, response.status, location)
            if following is None:
                yield response
                return
        request = following
    raise RequestFailedError("redirect", "too many redirects")
