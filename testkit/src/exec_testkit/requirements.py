"""Linking tests to the requirements that they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

__all__ = ["requirement"]

T = TypeVar("T", bound=Callable[..., object])


def requirement(*ids: str) -> Callable[[T], T]:
    """Mark a test as showing the requirements with these ids; see ``tests/requirements``."""

    def mark(function: T) -> T:
        for requirement_id in ids:
            pytest.mark.requirement(requirement_id)(function)
        return function

    return mark
