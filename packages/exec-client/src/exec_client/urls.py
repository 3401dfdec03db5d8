"""URLs of executors as people write them: with and without a scheme, and in variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = [
    "DISABLED",
    "URL_VARIABLES",
    "executor_url",
    "is_disabled",
    "normalize_url",
    "url_from_environ",
]

URL_VARIABLES: Final = ("EXEC_SERVER_URL", "CODEX_EXEC_SERVER_URL")
"""Variables that name an executor, the first that is not blank wins."""
DISABLED: Final = "none"
"""In the place of a URL: there is no environment at all."""

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


def normalize_url(value: str | None) -> str | None:
    """Return ``value`` without surrounding space, or ``None`` when nothing is left of it."""
    return (value or "").strip() or None


def url_from_environ(environ: Mapping[str, str]) -> str | None:
    """Return the URL that the variables name, ``none`` included; ``None`` without one."""
    for name in URL_VARIABLES:
        url = normalize_url(environ.get(name))
        if url is not None:
            return url
    return None


def is_disabled(url: str | None) -> bool:
    """Return whether ``url`` is the word that turns environments off."""
    return url is not None and url.lower() == DISABLED
