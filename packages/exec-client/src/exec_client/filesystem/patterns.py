"""Patterns of ``glob``, taken apart. Pure."""

from __future__ import annotations

import fnmatch
import re
from functools import cached_property

__all__ = ["Pattern"]

_WILD = re.compile(r"[*?[]")


class Pattern:
    """A path with wildcards.

    Attributes:
        root: The part before the first wildcard, which needs no looking.
        parts: The names after it, one pattern each.
        include_hidden: Whether wildcards match names that begin with a dot.
    """

    def __init__(self, text: str, *, include_hidden: bool = False) -> None:
        names = [name for name in text.split("/") if name not in ("", ".")]
        plain = 0
        while plain < len(names) and not self.is_wild(names[plain]):
            plain += 1
        self.root = ("/" if text.startswith("/") else "./") + "/".join(names[:plain])
        self.parts = names[plain:]
        self.include_hidden = include_hidden

    @staticmethod
    def is_wild(name: str) -> bool:
        """Whether a part has a wildcard."""
        return _WILD.search(name) is not None

    def matches(self, part: str, name: str) -> bool:
        """Whether a name matches a part."""
        if name.startswith(".") and not (self.include_hidden or part.startswith(".")):
            return False
        return self._compiled[part].match(name) is not None

    @cached_property
    def _compiled(self) -> dict[str, re.Pattern[str]]:
        return {part: re.compile(fnmatch.translate(part)) for part in self.parts}
