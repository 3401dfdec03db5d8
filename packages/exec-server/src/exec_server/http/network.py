"""Routes from this machine to origins: proxies and certificates, from its environment."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import certifi

from ..telemetry.instruments import OFF, Instruments
from .connecting import Connector
from .failures import RequestFailedError
from .proxies import proxy_url
from .resolver import Resolver
from .urls import InvalidUrlError, Url, parse_url

__all__ = ["Network", "Route"]

_HASHED_NAME: Final = re.compile(r"[0-9a-fA-F]{8}\.[0-9]+")
"""What OpenSSL looks for in such a folder; whatever else is there, it does not see."""

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For connections without TLS: trusts nobody, should it be used all the same."""


@dataclass(frozen=True, slots=True)
class Route:
    """Route to one origin.

    Attributes:
        tls: For the origin, and for the proxy when its URL says ``https``.
        proxy: ``http``, ``https``, ``socks5`` or ``socks5h``; ``None`` to connect directly.
    """

    tls: ssl.SSLContext
    proxy: Url | None


class Network:
    """Finds routes. One for all requests of a server.

    Args:
        environ: Variables of the executor; read anew for each request.
        instruments: Told of each request.

    Attributes:
        connector: Makes the TCP connections.
    """

    def __init__(self, environ: Mapping[str, str], instruments: Instruments = OFF) -> None:
        self._environ = environ
        self.instruments = instruments
        self._tls: ssl.SSLContext | None = None
        self.connector = Connector(Resolver())
        self._loading = asyncio.Lock()

    async def route(self, url: Url) -> Route:
        """Return how to reach the origin of ``url``.

        Raises:
            RequestFailedError: The environment names a proxy or certificates that are none.
        """
        text = proxy_url(*url.origin, self._environ)
        try:
            proxy = None if text is None else parse_url(text, _PROXY_SCHEMES)
        except InvalidUrlError as error:  # its text may hold a password, this one does not
            text = "the executor's environment names a proxy that is no http, https or socks5 URL"
            raise RequestFailedError("proxy", text) from error
        needs_tls = url.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        return Route(await self._tls_context() if needs_tls else _NO_TLS, proxy)

    async def _tls_context(self) -> ssl.SSLContext:
        async with self._loading:  # reading certificates takes some 20 ms: once, on a thread
            if self._tls is None:
                try:
                    self._tls = await asyncio.to_thread(_make_tls_context, self._environ)
                except (OSError, ssl.SSLError) as error:
                    text = "the executor's environment names certificates that cannot be read"
                    raise RequestFailedError("tls", text) from error
        return self._tls


def _make_tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trust what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` say, else this system, else Mozilla.

    The system comes before the bundled list because whoever runs the machine decides there
    whom it trusts. Small images have no store at all: without the list every https request
    from them would fail.
    """
    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if file or folder:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_certificates():
        context.load_verify_locations(cafile=certifi.where())
    return context


def _has_certificates() -> bool:
    """Whether there are any in the folder from which OpenSSL reads them as it needs them."""
    folder = ssl.get_default_verify_paths().capath
    try:
        return folder is not None and any(map(_HASHED_NAME.fullmatch, os.listdir(folder)))
    except OSError:
        return False
