"""Durations as people write them on a command line: ``90``, ``500ms``, ``5m``, ``1h30m``."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_duration"]

_NUMBER: Final = r"(\d+\.?\d*|\.\d+)"
_SECONDS: Final = re.compile(_NUMBER, re.ASCII)
_PARTS: Final = re.compile(
    rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?", re.ASCII
)
_UNITS: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_MAX_CHARACTERS: Final = 64
"""More than any sensible duration has. With so few digits, no number is infinite."""


def parse_duration(text: str) -> float:
    """Return seconds: a number of them, or numbers with d, h, m, s and ms, in this order.

    Raises:
        ValueError: It is neither. The text says what is expected.
    """
    text = text.strip()
    if len(text) <= _MAX_CHARACTERS and text:
        if _SECONDS.fullmatch(text):
            return float(text)
        if found := _PARTS.fullmatch(text):
            numbers = zip(found.groups(), _UNITS, strict=True)
            return sum(float(number) * unit for number, unit in numbers if number)
    raise ValueError(f"not a duration: {text[:_MAX_CHARACTERS]!r}; write 90, 500ms, 5m or 1h30m")
