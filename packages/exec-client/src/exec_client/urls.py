"""URLs of executors as people write them: with and without a scheme."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

__all__ = ["executor_url"]

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def executor_url(text: str) -> str:
    """Return a ``ws://`` or ``wss://`` URL.

    ``HOST:PORT`` gets ``ws://`` in front. ``http://`` and ``https://``, under which the same
    server answers, become ``ws://`` and ``wss://``.

    Raises:
        ValueError: It names no executor; the text says why.
    """
    text = text.strip()
    if not text:
        raise ValueError("the URL of the executor is empty")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "ws", text
    known = _SCHEMES.get(scheme.lower())
    url = f"{known}://{rest}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if known is None or not usable or any(character.isspace() for character in url):
        raise ValueError("expected ws://HOST:PORT, wss://HOST or HOST:PORT")
    return url
