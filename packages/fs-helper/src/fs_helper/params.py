"""Reading the params of a request.

The server has validated them; what is wrong here is a fault of the server, or the one thing
that only this side can tell: whether a URI names a path of this system.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from exec_server_protocol._file_url import is_normal
from exec_server_protocol.errors import INVALID_PARAMS, INVALID_REQUEST
from exec_server_protocol.path_uri import InvalidPathError, PathUri

from .errors import OperationError

__all__ = [
    "Params",
    "file_mode",
    "flag",
    "natural",
    "optional_natural",
    "path_of",
    "text",
    "uri_to_path",
]

Params = dict[str, Any]
"""Params of the wire, decoded JSON."""

MODE_MAX: Final = 0o7777
_SCHEME: Final = "file://"

_T = TypeVar("_T")


def uri_to_path(uri: str) -> bytes:
    """Return the native path that a path URI names.

    Raises:
        OperationError: It is no path URI (-32602), or names nothing on this system (-32600).
    """
    plain = _plain_path(uri)
    if plain is not None:
        return plain
    try:
        parsed = PathUri.parse(uri)
    except InvalidPathError as error:
        raise OperationError(INVALID_PARAMS, str(error)) from error
    try:
        path = parsed.to_native()
    except InvalidPathError as error:
        raise OperationError(INVALID_REQUEST, str(error)) from error
    if b"\0" in path:
        raise OperationError(INVALID_REQUEST, "a file name cannot contain a NUL byte")
    return path


def path_of(params: Params, name: str = "path") -> bytes:
    """Return the native path of a member.

    Raises:
        OperationError: As ``uri_to_path``, or there is no such member.
    """
    return uri_to_path(text(params, name))


def text(params: Params, name: str) -> str:
    """Return a required string.

    Raises:
        OperationError: It is missing or something else.
    """
    return _typed(params, name, str)


def natural(params: Params, name: str) -> int:
    """Return a required integer that is not negative.

    Raises:
        OperationError: It is missing or something else.
    """
    value = _typed(params, name, int)
    if value < 0:
        raise OperationError(INVALID_PARAMS, f"{name} is negative")
    return value


def optional_natural(params: Params, name: str) -> int | None:
    """Return an optional integer that is not negative.

    Raises:
        OperationError: It is something else.
    """
    return None if params.get(name) is None else natural(params, name)


def file_mode(params: Params, name: str) -> int | None:
    """Return optional permission bits.

    Raises:
        OperationError: They are something else.
    """
    bits = optional_natural(params, name)
    if bits is not None and bits > MODE_MAX:
        raise OperationError(INVALID_PARAMS, f"{name} has more than permission bits")
    return bits


def flag(params: Params, name: str, *, default: bool) -> bool:
    """Return an optional boolean; ``None`` means the default.

    Raises:
        OperationError: It is something else.
    """
    if params.get(name) is None:
        return default
    return _typed(params, name, bool)


def _plain_path(uri: str) -> bytes | None:
    """Return the path of a URI in which everything stands for itself; ``None`` for others.

    Nearly all are of this kind, and parsing costs more than many an operation.
    """
    path = uri[len(_SCHEME) :]
    if not is_normal(uri) or "//" in path or path.endswith("/"):
        return None
    return path.encode("ascii")


def _typed(params: Params, name: str, kind: type[_T]) -> _T:
    value = params.get(name)
    if type(value) is not kind:
        raise OperationError(INVALID_PARAMS, f"{name} is missing or of another type")
    return value
