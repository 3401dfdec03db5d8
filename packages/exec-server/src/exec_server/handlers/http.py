"""``http/request``: the executor makes a request for its client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from exec_server_protocol.methods import HTTP_REQUEST, HTTP_REQUEST_CANCEL, HTTP_REQUEST_CREDIT

from ..http.requests import HttpRequests
from ..runtime.direct_future import DirectFuture

if TYPE_CHECKING:
    from exec_server_protocol.http import (
        HttpRequestCancelParams,
        HttpRequestCreditParams,
        HttpRequestParams,
    )

    from ..rpc.connection import Connection, Handler

__all__ = ["make_handlers"]


def make_handlers(requests: HttpRequests) -> Mapping[str, Handler]:
    """Return the handlers by method."""

    def request(connection: Connection, params: HttpRequestParams) -> DirectFuture:
        """Begin a request. It takes part in no lane: nothing waits for it."""
        return requests.start(connection, params)

    def cancel(connection: Connection, params: HttpRequestCancelParams) -> bytes:
        """End a request: its answer, or its last frame, says so."""
        requests.cancel(connection, params.request_id)
        return b"{}"

    def credit(connection: Connection, params: HttpRequestCreditParams) -> bytes:
        """Let a stream go on."""
        requests.add_credit(connection, params.request_id, params.pieces)
        return b"{}"

    return {
        HTTP_REQUEST.name: request,
        HTTP_REQUEST_CANCEL.name: cancel,
        HTTP_REQUEST_CREDIT.name: credit,
    }
