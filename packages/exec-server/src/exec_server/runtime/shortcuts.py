"""Shortcuts: mechanisms that only make things faster, and that all else works without.

``EXEC_SERVER_WITHOUT=plans,spin`` leaves some out. It is for tests, which pass with each of them
left out (``nox -s without-shortcuts``), and for whoever suspects one.
"""

from __future__ import annotations

import os
from typing import Final, Literal

__all__ = ["SHORTCUTS", "uses"]

VARIABLE: Final = "EXEC_SERVER_WITHOUT"

Shortcut = Literal["blocks", "plans", "spin"]

SHORTCUTS: Final[dict[Shortcut, str]] = {
    "blocks": "blocks of open files that are in memory are read without their worker (decision 15)",
    "plans": "a plan holds until the kernel tells of a change, without a look (decision 13)",
    "spin": "between requests that follow each other closely nobody sleeps (decision 14)",
}


def uses(shortcut: Shortcut) -> bool:
    """Return whether a shortcut is taken by this program."""
    return shortcut not in os.environ.get(VARIABLE, "").split(",")
