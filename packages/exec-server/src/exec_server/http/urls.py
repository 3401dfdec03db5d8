"""URLs of requests, origins and proxies: RFC 3986, with the leniency of browsers. Pure.

What may not stand in a URL is percent-encoded, what is encoded stays as it is, names are in
lower case and in ASCII, dot segments are gone. The same as httpx makes of a URL, which is
not used for it: importing it takes longer than everything else that a request needs.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Collection
from typing import Final
from urllib.parse import quote, unquote, urljoin

__all__ = ["InvalidUrlError", "Url", "parse_url", "scheme_of"]

_URL_MAX: Final = 65536
"""Characters. Servers take 8 KiB mostly; far longer ones are made to keep a parser busy."""

_PARTS: Final = re.compile(
    r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?"
)
"""Scheme, authority, path, query: appendix B. The fragment is never sent."""
_AUTHORITY: Final = re.compile(r"(?:(.*)@)?(\[.*\]|[^:@]*)(?::([0-9]*))?")
_ADDRESS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")
_ENCODED: Final = re.compile(r"(%[0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_UNSAFE_IN_QUERY: Final = ' "#<>'
_UNSAFE_IN_PATH: Final = _UNSAFE_IN_QUERY + "?`{}"
_UNSAFE_IN_USERINFO: Final = _UNSAFE_IN_PATH + "/;=@[\\]^|"
_SAFE_IN_HOST: Final = "!$&'()*+,;=\"`{}%|\\"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _all_but(unsafe: str) -> str:
    printable = string.ascii_letters + string.digits + string.punctuation
    return "".join(character for character in printable if character not in unsafe)


_SAFE_IN_QUERY: Final = _all_but(_UNSAFE_IN_QUERY)
_SAFE_IN_PATH: Final = _all_but(_UNSAFE_IN_PATH)
_SAFE_IN_USERINFO: Final = _all_but(_UNSAFE_IN_USERINFO)


class InvalidUrlError(ValueError):
    """A text is no URL that a request could be made with. Names nothing of the text."""


class Url:
    """An absolute URL, without fragment.

    Attributes:
        scheme: In lower case.
        userinfo: Name and password, encoded; empty for none.
        host: In lower case and in ASCII; a literal address is without brackets.
        port: ``None`` for the scheme's own.
        raw_path: Path and query as they are sent.
    """

    __slots__ = ("host", "port", "raw_path", "scheme", "userinfo")

    def __init__(
        self, scheme: str, userinfo: str, host: str, port: int | None, raw_path: str
    ) -> None:
        self.scheme = scheme
        self.userinfo = userinfo
        self.host = host
        self.port = port
        self.raw_path = raw_path.encode("ascii")

    @property
    def username(self) -> str:
        """The name in ``userinfo``, decoded."""
        return unquote(self.userinfo.partition(":")[0])

    @property
    def password(self) -> str:
        """The password in ``userinfo``, decoded."""
        return unquote(self.userinfo.partition(":")[2])

    @property
    def netloc(self) -> bytes:
        """Host, and port unless it is the scheme's own, as in ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port is None else f"{host}:{self.port}").encode("ascii")

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port or _DEFAULT_PORTS.get(self.scheme, 0)

    def without_userinfo(self) -> Url:
        """Return the URL as it may be shown to others."""
        return Url(self.scheme, "", self.host, self.port, self.raw_path.decode("ascii"))

    def join(self, reference: str) -> str:
        """Return what a reference on this page refers to, as text that is not parsed yet.

        Raises:
            ValueError: It is none.
        """
        if len(reference) > _URL_MAX or _CONTROL.search(reference):
            raise InvalidUrlError("too long, or with control characters")
        base = f"{self.scheme}://{self.netloc.decode()}{self.raw_path.decode()}"
        return urljoin(base, reference)


def scheme_of(text: str) -> str:
    """Return the scheme of a URL in lower case; empty when it has none."""
    found = _PARTS.match(text)
    return ((found and found[1]) or "").lower()


def parse_url(text: str, schemes: Collection[str] = ("http", "https")) -> Url:
    """Return the URL that a text spells.

    Args:
        text: Absolute.
        schemes: Those that it may have.

    Raises:
        InvalidUrlError: It has another scheme, no host, or no port that could exist.
    """
    found = _PARTS.fullmatch(text)
    if found is None or len(text) > _URL_MAX or _CONTROL.search(text):
        raise InvalidUrlError("too long, or with control characters")
    scheme, authority, path, query = found.groups()
    if scheme is None or authority is None or (scheme := scheme.lower()) not in schemes:
        raise InvalidUrlError("not an absolute URL of a scheme that is known here")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise InvalidUrlError("the port is no number")
    userinfo, host, digits = parts.groups()
    port = int(digits[:6]) if digits else None
    if port is not None and port > 65535:
        raise InvalidUrlError("no such port")
    return Url(
        scheme,
        _encoded(userinfo or "", _SAFE_IN_USERINFO),
        _host(host),
        None if port == _DEFAULT_PORTS.get(scheme) else port,
        (_encoded(_without_dots(path), _SAFE_IN_PATH) or "/")
        + ("" if query is None else f"?{_encoded(query, _SAFE_IN_QUERY)}"),
    )


def _encoded(text: str, safe: str) -> str:
    """Encode what is not in ``safe``, but nothing twice."""
    pieces = _ENCODED.split(text)
    pieces[::2] = [quote(piece, safe=safe) for piece in pieces[::2]]
    return "".join(pieces)


def _without_dots(path: str) -> str:
    if "." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept not in ([], [""]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


def _host(host: str) -> str:
    try:
        if host.startswith("["):
            # A zone is of the machine that wrote it: no address for another one.
            if ipaddress.IPv6Address(host[1:-1]).scope_id is not None:
                raise InvalidUrlError("the address has a zone")
            return host[1:-1]
        if _ADDRESS.fullmatch(host):
            return str(ipaddress.IPv4Address(host))
        if not host.isascii():
            import idna  # its tables take a moment, and are for few

            return idna.encode(host.lower()).decode("ascii")
    except ValueError as error:  # idna's errors are of that kind, too
        raise InvalidUrlError("the host is no name and no address") from error
    name = _encoded(host.lower(), _SAFE_IN_HOST)
    if not name or "%" in name:
        raise InvalidUrlError("the host is no name and no address")
    return name
