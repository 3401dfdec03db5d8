"""Notation for paths on an executor, on the command line."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["REMOTE_HELP", "as_remote", "remote_part"]

REMOTE_HELP: Final = """\
A path on the executor is written `:PATH` or `exec:PATH`; without a slash at its beginning it is
seen from the executor's own folder. Anything else is a path here; one that begins with a colon
is written ./:PATH.
"""


def remote_part(text: str) -> str | None:
    """Return the path of a remote argument; ``None`` for a local one."""
    for prefix in (":", "exec:"):
        if text.startswith(prefix):
            return text[len(prefix) :] or os.curdir
    return None


def as_remote(text: str) -> str:
    """Return the path of an argument that is remote in any case, with or without a prefix."""
    return text if (path := remote_part(text)) is None else path
