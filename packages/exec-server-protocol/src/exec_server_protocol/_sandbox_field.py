"""The pydantic field of a sandbox context, which remembers what it has validated.

A client sends the same policy with every request of a session, and validating one takes
longer than many an operation. Equal JSON gives the same object.
"""

from __future__ import annotations

import marshal
from typing import Annotated, Any, Final

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from .limits import SANDBOX_MAX_BYTES
from .sandbox import SandboxContext

__all__ = ["WireSandbox"]

_REMEMBERED_MAX: Final = 64
"""Contexts: a session uses one or two at a time."""
_REMEMBERED_BYTES: Final = 4 * SANDBOX_MAX_BYTES
"""Of all of them. What is remembered takes some twenty times as much."""
_remembered: Final[dict[bytes, SandboxContext]] = {}


def _validate(value: Any, handler: ValidatorFunctionWrapHandler) -> SandboxContext:
    if type(value) is not dict:
        return handler(value)  # type: ignore[no-any-return]
    try:
        # Equal texts only for equal values: unlike ==, it tells true from 1. Version 2 has no
        # references, which would make the text depend on who else knows a string.
        key = marshal.dumps(value, 2)
    except ValueError:  # something that JSON does not have
        return handler(value)  # type: ignore[no-any-return]
    if len(key) > SANDBOX_MAX_BYTES:
        raise ValueError(f"a sandbox context has at most {SANDBOX_MAX_BYTES} bytes")
    found = _remembered.get(key)
    if found is None:
        found = handler(value)
        known = len(key) + sum(map(len, _remembered))
        if len(_remembered) >= _REMEMBERED_MAX or known > _REMEMBERED_BYTES:
            _remembered.clear()
        _remembered[key] = found
    return found


WireSandbox = Annotated[SandboxContext, WrapValidator(_validate)]
"""A ``SandboxContext``; one that came over the wire may be shared with other requests."""
