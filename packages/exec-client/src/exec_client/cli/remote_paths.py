"""How paths on an executor are written on the command line, and names on a terminal."""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["REMOTE_HELP", "as_remote", "printable", "remote_part", "write_line"]

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


def printable(name: str, *, terminal: bool) -> str:
    """Return a name as it is to be written.

    Args:
        name: May hold anything: names on an executor are not ours.
        terminal: Replace what a terminal would act on, as ``ls`` does.
    """
    if not terminal:
        return name
    return "".join(character if character.isprintable() else "?" for character in name)


def write_line(text: str) -> None:
    """Write a line to stdout, with the bytes of names that are not UTF-8 as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text) + b"\n")
