"""Answer to an HTTP request before it becomes a WebSocket. Pure.

One port serves both: ``GET /readyz`` for probes, and the upgrade on ``/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

__all__ = ["Refusal", "decide"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of the upgrade."""

    status: HTTPStatus
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def decide(method: str, target: str, *, has_origin: bool) -> Refusal | None:
    """Return the answer to a request, or ``None`` when it may try to upgrade.

    Args:
        method: As sent.
        target: Path and query.
        has_origin: Whether there is an ``Origin`` header, even an empty one.
    """
    if has_origin:
        # It comes from a browser, where any page could send it. Before all else: no page learns
        # what is here.
        return Refusal(HTTPStatus.FORBIDDEN)
    path = target.partition("?")[0]
    if path == "/readyz":
        if method in ("GET", "HEAD"):
            return Refusal(HTTPStatus.OK)
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET,HEAD"})
    if path != "/":
        return Refusal(HTTPStatus.NOT_FOUND)
    if method != "GET":
        return Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED, "an upgrade is a GET request\n", {"Allow": "GET"}
        )
    return None
