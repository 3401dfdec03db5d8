"""Names that configure tools. Light: no pydantic."""

from __future__ import annotations

from typing import Final

__all__ = ["PROTECTED_NAMES"]

PROTECTED_NAMES: Final = (".git", ".agents", ".codex", ".aws")
"""Directly below a writable root these stay read-only, unless an entry grants them."""
