"""Full validation, with pydantic: ``pip install app-server-protocol[validate]``.

A validator is built the first time a type is used, which takes 1 to some 200 ms, and is
kept. Validation is strict: ``"5"``, ``1.0`` and ``True`` are no integers, and an integer has
to fit the width that the peer reads it into. It is closed to what is newer than this package:
use it for what goes out, in tests, or where refusing is what is wanted.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

try:
    from pydantic import TypeAdapter, ValidationError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"app_server_protocol.validate needs {error.name}: "
        "pip install 'app-server-protocol[validate]'",
        name=error.name,
    ) from error

from .registry import CLIENT_METHODS, SERVER_NOTIFICATIONS, SERVER_REQUESTS, type_named
from .rpc import UNSET

__all__ = ["ValidationError", "adapter", "validate", "validate_params", "validate_result"]

_T = TypeVar("_T")


@functools.cache  # bounded by the number of types
def adapter(type_name: str) -> TypeAdapter[Any]:
    """Return pydantic's validator of a type. Its output drops fields that are not known here.

    Raises:
        KeyError: There is no type of that name.
    """
    return TypeAdapter(type_named(type_name))


def validate(type_name: str, value: _T) -> _T:
    """Return ``value`` itself, with everything that is in it, if it is of the type.

    Raises:
        ValidationError: It is not. pydantic's text quotes values: not for logs.
        KeyError: There is no type of that name.
    """
    adapter(type_name).validate_python(value, strict=True)
    return value


def validate_params(method: str, params: Any = UNSET) -> None:
    """Refuse params that are not of the method's type, whoever sends it.

    Raises:
        ValidationError: They are not.
        KeyError: The method is unknown, or takes no params and got some.
    """
    tables = (CLIENT_METHODS, SERVER_REQUESTS, SERVER_NOTIFICATIONS)
    known = next((table[method] for table in tables if method in table), None)
    if known is None:
        raise KeyError(method)
    if (params is UNSET or params is None) and known.params_rule != "required":
        return
    if known.params is None:
        raise KeyError(f"{method} takes no params")
    validate(known.params, params)


def validate_result(method: str, result: Any) -> None:
    """Refuse a result that is not of the method's type, whoever answers it.

    Raises:
        ValidationError: It is not.
        KeyError: The method is unknown, or is a notification.
    """
    known = CLIENT_METHODS.get(method) or SERVER_REQUESTS[method]
    assert known.result is not None  # noqa: S101  # both tables hold requests only
    validate(known.result, result)
