"""``http/request`` on the wire: params, results, and streamed bodies to their end."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from .wire import WireClient

__all__ = ["Response", "deltas", "fetch", "params", "response"]


@dataclass
class Response:
    """The result of a request, and the pieces of its body when it was streamed."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return every value of a header; ``name`` in lower case."""
        return [value for one, value in self.headers if one == name]


def params(url: str, **members: Any) -> dict[str, Any]:
    """Return the params of a request; ``body`` may be bytes, ``headers`` pairs."""
    body = members.pop("body", None)
    headers = [
        header if isinstance(header, dict) else {"name": header[0], "value": header[1]}
        for header in members.pop("headers", [])
    ]
    encoded = None if body is None else base64.b64encode(body).decode()
    return {
        "method": "GET",
        "url": url,
        "headers": headers,
        "bodyBase64": encoded,
        "requestId": "r",
        **members,
    }


def response(result: dict[str, Any]) -> Response:
    """Return a result of the wire as a response."""
    return Response(
        result["status"],
        [(header["name"], header["value"]) for header in result["headers"]],
        base64.b64decode(result["bodyBase64"], validate=True),
    )


async def fetch(client: WireClient, url: str, **members: Any) -> Response:
    """Make a buffered request."""
    return response(await client.call("http/request", params(url, **members)))


async def deltas(client: WireClient, request_id: str) -> tuple[bytes, str | None]:
    """Collect a streamed body to its end; checks numbers and that nothing follows the end."""
    body, seq = b"", 0
    while True:
        note = await client.notification()
        delta = note["params"]
        assert note["method"] == "http/request/bodyDelta"
        assert delta.keys() == {"requestId", "seq", "deltaBase64", "done", "error"}
        if delta["requestId"] != request_id:
            client.notifications.append(note)
            continue
        seq += 1
        assert delta["seq"] == seq
        if delta["done"]:
            assert delta["deltaBase64"] == ""
            return body, delta["error"]
        assert delta["error"] is None
        body += base64.b64decode(delta["deltaBase64"], validate=True)
