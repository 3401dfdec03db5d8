"""Params of ``http/request`` → the request to send, or why it cannot be sent."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exec_server_protocol.errors import InvalidParamsError

from ..withheld import is_withheld
from .urls import InvalidUrlError, Url, parse_url, scheme_of

if TYPE_CHECKING:
    from exec_server_protocol.http import HttpHeader, HttpRequestParams

__all__ = ["Body", "Headers", "OutgoingRequest", "prepare"]

Body = bytes | tuple[bytes, ...]
"""A body, whole or in pieces."""

Headers = tuple[tuple[str, bytes], ...]
"""Names as the client wrote them, in its order, repeats included."""

_TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""RFC 9110: what methods and header names are made of."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header value may hold: it would end the line, or be taken for something else."""
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
"""How long the body is, is for the sender to say: a wrong length would make the rest of the
connection mean something else."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request, complete but for ``Host``, ``Accept`` and the length of its body.

    Attributes:
        method: Any token, in the case that was asked for.
        url: Absolute, ``http`` or ``https``, without user and fragment.
        headers: Those to send before the ones that are added.
        body: Empty for none.
        sends_length: Whether to say how long the body is even when it is empty.
        for_one_origin: Names, in lower case, of headers that are filled from a variable of the
            executor. Whatever they are called, they are secrets of whoever set the variable.
    """

    method: str
    url: Url
    headers: Headers
    body: Body
    sends_length: bool
    for_one_origin: frozenset[str] = frozenset()

    @property
    def body_size(self) -> int:
        """Length of the body."""
        return len(self.body) if isinstance(self.body, bytes) else sum(map(len, self.body))

    def has_header(self, name: str) -> bool:
        """Return whether there is a header; ``name`` in lower case."""
        return any(one.lower() == name for one, _ in self.headers)

    def complete_headers(self) -> Sequence[tuple[str, bytes]]:
        """Return every header to send, in order."""
        added: list[tuple[str, bytes]] = []
        if not self.has_header("accept"):
            added.append(("accept", b"*/*"))
        if not self.has_header("host"):
            added.append(("host", self.url.netloc))
        if self.sends_length:
            added.append(("content-length", b"%d" % self.body_size))
        return [*self.headers, *added]


def prepare(
    params: HttpRequestParams, environ: Mapping[str, str], body: Body | None = None
) -> OutgoingRequest:
    """Return what to send.

    Args:
        params: As they came.
        environ: Variables of the executor, for header values that name one.
        body: What to send instead of the body in ``params``.

    Raises:
        InvalidParamsError: Something is not valid HTTP. Values are not quoted.
    """
    if not _TOKEN.fullmatch(params.method):
        raise InvalidParamsError("http/request method is invalid: expected an HTTP token")
    url = _parse_url(params.url)
    headers = tuple(_header(header, environ) for header in params.headers)
    names = [name.lower() for name, _ in headers]
    if names.count("host") > 1:
        raise InvalidParamsError("http/request headers are invalid: more than one Host")
    if body is None:
        body = params.body_base64 or b""
    if url.userinfo and "authorization" not in names:
        credentials = base64.b64encode(f"{url.username}:{url.password}".encode())
        headers = (*headers, ("authorization", b"Basic " + credentials))
    return OutgoingRequest(
        method=params.method,
        url=url.without_userinfo(),
        headers=tuple(header for header in headers if header[0].lower() not in _FRAMING),
        body=body,
        sends_length=bool(body) or "content-length" in names,
        for_one_origin=frozenset(
            header.name.lower() for header in params.headers if header.value_env_var is not None
        ),
    )


def _parse_url(text: str) -> Url:
    text = text.strip()
    scheme = scheme_of(text)
    if not scheme:
        raise InvalidParamsError("http/request url is invalid: expected an absolute URL")
    if scheme not in ("http", "https"):
        text = f"http/request only supports http and https URLs, got {scheme[:20]}"
        raise InvalidParamsError(text)
    try:
        return parse_url(text)
    except InvalidUrlError as error:
        raise InvalidParamsError(f"http/request url is invalid: {error}") from error


def _header(header: HttpHeader, environ: Mapping[str, str]) -> tuple[str, bytes]:
    name = header.name
    if not _TOKEN.fullmatch(name):
        raise InvalidParamsError("http/request header name is invalid: expected an HTTP token")
    value = header.value
    if header.value_env_var is not None:
        variable = environ.get(header.value_env_var)
        if variable is None or is_withheld(header.value_env_var):  # which look the same
            raise InvalidParamsError(
                f"http/request header {name} requires executor environment variable "
                f"{header.value_env_var}"
            )
        value += variable
    # A variable that is no UTF-8 has its bytes as surrogates: they are sent as they are.
    encoded = value.encode("utf-8", "surrogateescape").strip(b" \t")
    if _CONTROL.search(encoded):
        raise InvalidParamsError(f"http/request header value is invalid for {name}")
    return name, encoded
