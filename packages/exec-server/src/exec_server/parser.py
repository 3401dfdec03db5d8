"""The parser of the program's command line: it knows what a mistyped word was meant to be."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors suggest a word.

    Args:
        words: What else than its options is understood.
        **settings: Of ``ArgumentParser``.
    """

    def __init__(self, *, words: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self._words = words

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, or end the program with what was wrong."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            import difflib

            known = [*self._option_string_actions, *self._words]
            meant = difflib.get_close_matches(unknown[0].partition("=")[0], known, 1)
            hint = f"; did you mean {meant[0]}?" if meant else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return arguments
