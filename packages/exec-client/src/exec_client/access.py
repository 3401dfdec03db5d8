"""Credentials of a client, and its trust: tokens and TLS.

A token is given as text, or as something to call before each connection, so that one which
expires can be renewed while a session goes on. ``TokenFile`` is such a callable.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from .errors import ConnectError, InsecureTokenError, TlsError
from .server_program import TOKEN_VARIABLE

__all__ = [
    "TOKEN_VARIABLE",
    "TlsFiles",
    "Token",
    "TokenFile",
    "authorization",
    "is_loopback",
    "token_from_environ",
]

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""What goes behind ``Authorization: Bearer``, or what returns it. A function is called on the
event loop before each attempt to connect and must not block; it may be asynchronous."""

_MAX_TOKEN_FILE_BYTES: Final = 64 * 1024
"""Servers refuse headers above some 8 KiB."""


class TokenFile:
    """Reads a token from a file, anew for each connection.

    A pipe, such as a shell's ``<(command)``, is read once.

    Args:
        path: Surrounding space in the file is ignored.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._once: str | None = None

    def __repr__(self) -> str:
        return f"TokenFile({os.fspath(self._path)!r})"

    async def __call__(self) -> str:
        """Return the token.

        Raises:
            ConnectError: The file cannot be read, or holds none.
        """
        if self._once is not None:
            return self._once
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        named = os.fspath(self._path)
        try:
            with open(self._path, "rb") as file:
                content = file.read(_MAX_TOKEN_FILE_BYTES)
                again = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            raise ConnectError(f"cannot read the token file {named}: {error.strerror}") from error
        token = content.decode("utf-8", "replace").strip()
        if not token:
            raise ConnectError(f"the token file {named} is empty")
        if not again:
            self._once = token
        return token


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificates for ``wss://``, in PEM. Read anew for each connection.

    Args:
        cacert: Whom to trust; ``None`` for whom the system trusts.
        cert: Certificate of the client, with its chain, for executors that ask for one.
        key: Its private key; ``None`` when it is in the same file.
    """

    cacert: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None

    def make_context(self) -> ssl.SSLContext:
        """Return what connects with these files. It takes some milliseconds.

        Raises:
            TlsError: A file cannot be used; the text says which.
        """
        if self.key is not None and self.cert is None:
            raise TlsError("a key needs its certificate")
        try:
            context = ssl.create_default_context(cafile=self.cacert)
        except (OSError, ValueError) as error:
            raise TlsError(
                f"cannot use the certificates to trust in {self.cacert}: {_reason(error)}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            try:
                # An encrypted key would ask on the terminal: it gets an empty passphrase.
                context.load_cert_chain(self.cert, self.key, password="")
            except (OSError, ValueError) as error:
                files = self.cert if self.key is None else f"{self.cert} with the key {self.key}"
                raise TlsError(
                    f"cannot use the client certificate {files}: {_reason(error)}"
                ) from error
        return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or "not PEM"


def token_from_environ(environ: Mapping[str, str]) -> str | None:
    """Return the token that the variable holds; ``None`` without one."""
    return (environ.get(TOKEN_VARIABLE) or "").strip() or None


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True  # RFC 6761, section 6.3
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def authorization(
    url: str,
    token: Token | None,
    headers: Mapping[str, str],
    *,
    allow_insecure: bool,
    proxied: bool = False,
) -> dict[str, str]:
    """Return the headers for an upgrade request, with the token if there is one.

    Args:
        url: Where they go.
        token: See ``Token``.
        headers: What the user wants to be sent besides.
        allow_insecure: Send a token also where others can read it on its way.
        proxied: Whether there is a proxy on the way, which can read what is not encrypted.

    Raises:
        InsecureTokenError: Others could.
        ConnectError: There is no token to be had, or it cannot be sent.
    """
    sent = dict(headers)
    own = next((name for name in sent if name.lower() == "authorization"), None)
    if token is None and own is None:
        return sent
    parts = urlsplit(url)
    host = parts.hostname or ""
    stays_here = is_loopback(host) and not proxied
    if parts.scheme != "wss" and not stays_here and not allow_insecure:
        raise InsecureTokenError(
            f"refusing to send a token to {host} over ws://, where others can read it on its way: "
            "use wss://, or allow it with allow_insecure_token (--allow-insecure-token)"
        )
    if token is None:
        return sent
    if own is not None or parts.username is not None:
        raise ConnectError("a token, an Authorization header and a user in the URL exclude another")
    sent["Authorization"] = f"Bearer {await _get(token)}"
    return sent


async def _get(token: Token) -> str:
    if not isinstance(token, str):
        try:
            answer = token()
            value = answer if isinstance(answer, str) else await answer
        except ConnectError:
            raise
        except Exception as error:
            raise ConnectError(f"no token to be had: {type(error).__name__}") from error
    else:
        value = token
    value = value.strip()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ConnectError("the token is empty, or has characters that no header can carry")
    return value
