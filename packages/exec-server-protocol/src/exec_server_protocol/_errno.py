"""Error numbers of an operating system, as peers and helpers send them. Light: no pydantic."""

from __future__ import annotations

from typing import Final, TypeGuard

__all__ = ["is_errno"]

_NO_ERRNO: Final = 4096
"""The kernel has no error numbers from here on."""


def is_errno(value: object) -> TypeGuard[int]:
    """Return whether a JSON value can be the number of an error."""
    return type(value) is int and 0 < value < _NO_ERRNO
