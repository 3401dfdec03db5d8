"""A response → the request that follows it. Pure.

The rules are those of browsers: changes of the method, headers that a new origin does not get.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .failures import RequestFailedError
from .outgoing import OutgoingRequest
from .urls import InvalidUrlError, Url, parse_url, scheme_of

__all__ = ["MAX_REDIRECTS", "next_request"]

MAX_REDIRECTS: Final = 10
"""Further requests that one request may lead to; browsers allow 20, clients mostly 10."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ABOUT_THE_BODY: Final = frozenset(
    {"content-type", "content-encoding", "content-language", "content-location"}
)
"""Dropped with the body that they describe."""
_SECRETS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "host"})
"""For one origin only. ``Host`` is no secret, but names the origin that was left."""


def next_request(
    request: OutgoingRequest, status: int, location: bytes | None
) -> OutgoingRequest | None:
    """Return the request to make after a response; ``None`` when it is the last one.

    Args:
        request: The one that was answered.
        status: Of the response.
        location: The response's ``Location``, if it has one.

    Raises:
        RequestFailedError: The target has a scheme that no request can be made with.
    """
    if status not in _REDIRECTS or location is None:
        return None
    try:
        text = request.url.join(location.decode("utf-8"))
    except ValueError:
        return None  # the response is all there is
    scheme = scheme_of(text)
    if scheme not in ("http", "https"):
        raise RequestFailedError(
            "redirect", f"redirect target uses unsupported URL scheme: {scheme[:20]}"
        )
    try:
        target = parse_url(text).without_userinfo()
    except InvalidUrlError:
        return None
    same_origin = target.origin == request.url.origin
    dropped = {"referer"} | (set() if same_origin else _SECRETS | request.for_one_origin)
    method, body, sends_length = request.method, request.body, request.sends_length
    # As browsers do. 307 and 308 repeat the request as it was, with its body.
    if status == 303 or (status in (301, 302) and method == "POST"):
        dropped |= _ABOUT_THE_BODY
        method, body, sends_length = "HEAD" if method == "HEAD" else "GET", b"", False
    headers = tuple(header for header in request.headers if header[0].lower() not in dropped)
    referer = _referer(request.url, target, same_origin=same_origin)
    if referer is not None:
        headers = (*headers, ("referer", referer))
    return replace(
        request, method=method, url=target, headers=headers, body=body, sends_length=sends_length
    )


def _referer(previous: Url, target: Url, *, same_origin: bool) -> bytes | None:
    """The Referer header: nothing of the origin is sent in the clear, little to strangers."""
    if previous.scheme == "https" and target.scheme == "http":
        return None
    origin = f"{previous.scheme}://".encode() + previous.netloc
    return origin + (previous.raw_path if same_origin else b"/")
