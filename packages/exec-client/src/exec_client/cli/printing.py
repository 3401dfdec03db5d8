"""Text on its way to a terminal: what a terminal would act on is taken out here, and only here.

An executor is not trusted with its client's terminal. Names, errors and facts that it sends may
hold escape sequences (C0 and C1 controls) or turn the direction of a line around (bidirectional
controls). ``only_plain_text`` replaces ``sys.stdout`` and ``sys.stderr`` for the length of the
program, so a subcommand that prints cannot forget it; tracebacks, warnings and log lines go the
same way. What a subcommand passes on as it is - a command's output, a file, a body - goes through
``streams.StreamWriter``, past all of this.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TextIO, cast

__all__ = [
    "json_text",
    "local_time",
    "only_plain_text",
    "printable",
    "unfiltered",
    "write_name",
]

_REPLACEMENT: Final = "?"
_SPACES: Final = "Zs"


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with ``?`` for each character that a terminal would act on.

    These are all controls, format characters (those that turn the direction included), line and
    paragraph separators, and bytes that are no text.

    Args:
        text: May hold anything: it came from an executor.
        keep: Characters that stay: the line ends of what has lines.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or _is_harmless(character) else _REPLACEMENT
        for character in text
    )


def _is_harmless(character: str) -> bool:
    if character.isprintable():
        return True
    from unicodedata import category  # rarely needed

    return category(character) == _SPACES  # such as U+00A0: not "printable", and it does nothing


def json_text(value: Any) -> str:
    """Return a value as lines of JSON: nothing in them acts on a terminal.

    What ``printable`` replaces is written as a JSON escape, so that the value stays the same.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # Outside of strings there are line ends and printable characters only.
    return re.sub(r"[^\n\x20-\x7e]", lambda match: _escaped(match[0]), text) + "\n"


def _escaped(character: str) -> str:
    return character if _is_harmless(character) else json.dumps(character)[1:-1]


def local_time(seconds: float) -> datetime | None:
    """Return a time that an executor sent; ``None`` for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, ValueError, OSError):
        return None


def write_name(text: str) -> None:
    """Write a line with a name in it to stdout.

    On a terminal it is printable. Elsewhere its bytes are as they are, UTF-8 or not: a program
    that reads names needs the right ones.
    """
    if sys.stdout.isatty():
        sys.stdout.write(printable(text) + "\n")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text) + b"\n")


@contextmanager
def only_plain_text() -> Iterator[None]:
    """Let nothing but printable text through ``sys.stdout`` and ``sys.stderr`` meanwhile."""
    before = sys.stdout, sys.stderr
    # A standard stream that was closed when the program started is None, and stays it.
    sys.stdout, sys.stderr = (stream and cast("TextIO", _PlainText(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unfiltered(stream: TextIO) -> TextIO:
    """Return what is below a stream, for one who writes escape sequences on purpose.

    Whoever takes it applies ``printable`` to all that came from an executor.
    """
    below = getattr(stream, "below", stream)
    return cast("TextIO", below)


class _PlainText(io.TextIOBase):
    """A text stream that makes what is written to it printable.

    Args:
        below: Where it goes. Not closed with this.
    """

    def __init__(self, below: TextIO) -> None:
        self.below = below

    def write(self, text: str, /) -> int:
        self.below.write(printable(text, keep="\n\t"))
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self.below.flush()

    def isatty(self) -> bool:
        return self.below.isatty()

    def fileno(self) -> int:
        return self.below.fileno()

    @property
    def buffer(self) -> Any:
        return self.below.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.below.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.below.errors
