"""URLs of files on executors: ``exec://HOST:PORT/path``, and ``execs://`` where there is TLS.

What a WebSocket URL has beyond host and port is percent-encoded into the host's place, so that
every executor has a URL that leads back to it and to no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from ..environment.config import url_from_environ
from ..urls import executor_url

__all__ = ["LOCAL", "PROTOCOLS", "Stripping", "Variable", "canonical", "joined", "parsed"]

LOCAL: Final = "local"
"""The executor of ``exec://local/path``: a server of one's own on this machine."""

_WEBSOCKETS: Final = {"exec": "ws", "execs": "wss"}
_PROTOCOLS: Final = {websocket: protocol for protocol, websocket in _WEBSOCKETS.items()}
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}

PROTOCOLS: Final = tuple(_WEBSOCKETS)


def canonical(address: str) -> str:
    """Return ``LOCAL``, or the one way to write the ``ws://`` or ``wss://`` URL.

    Raises:
        ValueError: It names no executor; the text says why.
    """
    if address == LOCAL:
        return LOCAL
    url = executor_url(address)
    parts = urlsplit(url)
    netloc = parts.netloc.lower() if "@" not in parts.netloc else parts.netloc
    if netloc == LOCAL:
        netloc += f":{_DEFAULT_PORTS[parts.scheme]}"  # a host that has the name of this machine
    return parts._replace(netloc=netloc, fragment="").geturl().rstrip("/")


def parsed(path: Any) -> tuple[str | None, str]:
    """Return the executor that a path names, if any, and the absolute path there."""
    text = os.fspath(path)
    scheme, separator, rest = text.partition("://")
    address = None
    if separator and scheme in _WEBSOCKETS:
        place, _slash, text = rest.partition("/")
        if place == LOCAL and scheme == "exec":
            address = LOCAL
        elif place:
            address = canonical(f"{_WEBSOCKETS[scheme]}://{unquote(place)}")
    if not text.startswith("/"):
        text = "/" + text
    return address, text.rstrip("/") or "/"


def joined(address: str, path: str) -> str:
    """Return the URL of a path on an executor, whose address is canonical."""
    if address == LOCAL:
        return f"exec://{LOCAL}{path}"
    websocket, _separator, place = address.partition("://")
    # fsspec takes two colons, as in IPv6 addresses, for the end of a URL.
    quoted = quote(place, safe=":[]@").replace("::", "%3A%3A")
    return f"{_PROTOCOLS[websocket]}://{quoted}{path}"


class Stripping:
    """``_strip_protocol`` as fsspec has it on a class, which an instance holds to its executor."""

    def __get__(self, instance: Any, owner: Any) -> Callable[[Any], Any]:
        strip: Callable[[Any], Any] = owner._strip if instance is None else instance._strip_own
        return strip


class Variable:
    """Values of the variables now: fsspec hands out an instance again where they are the same."""

    def __get__(self, instance: object, owner: Any) -> str | None:
        return url_from_environ(os.environ)
