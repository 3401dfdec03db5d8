"""Checks of single values: text, numbers, base64, paths, UUIDs. Light: no pydantic.

What is accepted and what an error says is what the models accept and say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ._base64 import decode_base64
from .path_uri import PathUri

__all__ = [
    "PROBLEMS_MAX",
    "SCALARS",
    "Check",
    "Problem",
    "ShapeError",
    "describe",
    "integer",
    "one_of",
]

Check = Callable[[Any], Any]
"""Returns the Python value of a JSON value, or raises ``ShapeError``. One that is a Python value
already stays as it is."""

Problem = tuple[tuple[str | int, ...], str]
"""Where something is wrong, and what."""

PROBLEMS_MAX: Final = 3
"""Problems that an error names."""

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_UUID_GROUPS: Final = [8, 4, 4, 4, 12]


class ShapeError(ValueError):
    """Value of the wrong shape: a problem for each place."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems

    def __str__(self) -> str:
        return describe(self.problems)

    @property
    def is_of_type(self) -> bool:
        """Whether the first problem is the type of a value, whatever the value."""
        return self.problems[0][1].startswith("Input should be a valid ")

    def below(self, step: str | int) -> list[Problem]:
        """Return the problems as those of a member of what has them."""
        return [((step, *where), what) for where, what in self.problems]


def describe(problems: Sequence[Problem]) -> str:
    """Name what is wrong without quoting it: values may be secrets, and may be huge."""
    return "; ".join(
        f"{'.'.join(str(step)[:60] for step in where) or 'params'}: {what}"
        for where, what in problems[:PROBLEMS_MAX]
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ShapeError(((), "Input should be a valid string"))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # never what came over the wire: the decoder refuses it
            raise ShapeError(((), "Input should be text that can be UTF-8")) from None
    return value


def _flag(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise ShapeError(((), "Input should be a valid boolean"))


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ShapeError(((), "Input should be a valid integer"))


def _object(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise ShapeError(((), "Input should be a valid dictionary"))


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        if isinstance(value, bytes):
            return value
        raise ShapeError(((), "Input should be a valid bytes"))
    try:
        return decode_base64(value)
    except ValueError as error:
        raise ShapeError(((), str(error))) from None


def _uri(value: Any) -> PathUri:
    if not isinstance(value, str):
        if isinstance(value, PathUri):
            return value
        raise ShapeError(((), "Input should be a string: a file: URI"))
    try:
        return PathUri.parse(value)
    except ValueError as error:
        raise ShapeError(((), str(error))) from None


def _uuid(value: Any) -> str:
    """A UUID stays the text that it was: nobody does anything with it."""
    if type(value) is not str:
        raise ShapeError(((), "UUID input should be a string, bytes or UUID object"))
    if not _is_uuid(value):
        raise ShapeError(((), "Input should be a valid UUID"))
    return value


def _is_uuid(text: str) -> bool:
    """Whether a text spells a UUID: bare, or with hyphens and perhaps braces or ``urn:uuid:``."""
    if len(text) == 32:
        return _HEX.issuperset(text)
    bare = text[1:-1] if text[:1] + text[-1:] == "{}" else text.removeprefix("urn:uuid:")
    groups = bare.split("-")
    return [*map(len, groups)] == _UUID_GROUPS and all(map(_HEX.issuperset, groups))


SCALARS: Final[dict[str, Check]] = {
    "text": _text,
    "whole": _whole,
    "flag": _flag,
    "object": _object,
    "base64": _base64,
    "uri": _uri,
    "uuid": _uuid,
}


def integer(least: int, most: int) -> Check:
    """Return the check of a number from ``least`` to ``most``."""

    def check(value: Any) -> int:
        number = _whole(value)
        if number < least:
            raise ShapeError(((), f"Input should be greater than or equal to {least}"))
        if number > most:
            raise ShapeError(((), f"Input should be less than or equal to {most}"))
        return number

    return check


def one_of(*values: str) -> Check:
    """Return the check of a text that has to be one of some."""
    known = frozenset(values)
    *others, last = map(repr, values)
    expected = f"{', '.join(others)} or {last}" if others else last

    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ShapeError(((), f"Input should be {expected}"))

    return check
