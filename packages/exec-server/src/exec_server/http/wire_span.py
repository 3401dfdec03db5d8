"""The span of a request on the wire, from its sending to the headers of its response.

It tells the method, the scheme and how it ended. Where it went is an argument of the client,
and arguments are nobody else's business: no host, no path, no header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ..telemetry.instruments import ActiveSpan, Instruments
from ..telemetry.names import SpanName
from .failures import RequestFailedError
from .outgoing import OutgoingRequest

__all__ = ["ObservedExchange", "observe"]

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
_OTHER_METHOD: Final = "_OTHER"
"""What the conventions put for any other."""


class ObservedExchange:
    """A request that is being sent.

    Attributes:
        headers: To be sent with it, so that the origin's spans belong to this one. None when
            the client has sent some of its own.
    """

    def __init__(self, span: ActiveSpan, request: OutgoingRequest) -> None:
        self._span = span
        self.headers: Sequence[tuple[str, bytes]] = ()
        if not request.has_header("traceparent"):
            self.headers = [(name, value.encode()) for name, value in span.headers().items()]

    def answered(self, status: int) -> None:
        """The headers of the response are there."""
        self._span.set("http.response.status_code", status)


@contextmanager
def observe(request: OutgoingRequest, instruments: Instruments) -> Iterator[ObservedExchange]:
    """Follow a request while the block sends it."""
    method = request.method if request.method in _METHODS else _OTHER_METHOD
    attributes = {"http.request.method": method, "url.scheme": request.url.scheme}
    with instruments.span(SpanName.HTTP_REQUEST, attributes) as span:
        try:
            yield ObservedExchange(span, request)
        except RequestFailedError as error:
            span.set("error.type", error.kind)
            raise
