"""The version of this package: asking the installed metadata takes as long as ten requests."""

from __future__ import annotations

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
