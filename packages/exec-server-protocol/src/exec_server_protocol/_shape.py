"""Shape of a JSON text before it is parsed: numbers of values and levels, slow parts. Pure."""

from __future__ import annotations

import re
from typing import Final

from .errors import MalformedMessageError, RequestTooLargeError
from .limits import (
    MAX_DEPTH,
    MAX_VALUES,
    REQUEST_MAX_CONTAINERS,
    REQUEST_MAX_ESCAPES,
    REQUEST_MAX_MEMBERS,
    REQUEST_MAX_NUMBERS_BYTES,
    REQUEST_MAX_TEXT_BYTES,
    REQUEST_MAX_VALUES,
    REQUEST_SMALL_BYTES,
)

__all__ = ["check_client_shape", "check_shape"]

_OTHER_VALUES_MAX: Final = 64
"""Values that are no strings, in a request that is not looked at more closely. Were they all
numbers of the greatest length, they would take 5 ms."""
# Texts, compiled when they are needed: few messages are that large or that odd.
_EMPTY: Final = r"\[\s*\]|\{\s*\}"
_NOT_BRACKET: Final = r"[^\[\]{}]+"


def _without_escapes(text: str) -> str:
    """Return a JSON text in which each quotation mark begins or ends a string."""
    if "\\" not in text:
        return text
    # A run of backslashes begins an escape with its first one, so pairs are found right.
    return text.replace("\\\\", "").replace('\\"', "")


def _without_strings(text: str, max_strings: int) -> str:
    """Return what of a JSON text is outside of its strings.

    Args:
        text: Without escapes.
        max_strings: That it may hold.

    Raises:
        MalformedMessageError: There are more strings.
    """
    if text.count('"') > 2 * max_strings:
        raise MalformedMessageError(f"more than {max_strings} JSON values")
    return "".join(text.split('"')[::2])


def check_shape(text: str, max_values: int) -> None:
    """Refuse text with too many values or levels, without parsing it.

    Counting characters gives an upper bound that nearly every message passes. Only
    beyond it is the text stripped of its strings and counted exactly.
    """
    openings = text.count("[") + text.count("{")
    if openings <= MAX_DEPTH and openings + text.count(",") < max_values:
        return
    # A member's name is a string, too.
    bare = _without_strings(_without_escapes(text), 2 * max_values)
    openings = bare.count("[") + bare.count("{")
    empty = len(re.findall(_EMPTY, bare))
    # A value is the root, the first of a container that is not empty, or follows a comma.
    if 1 + openings - empty + bare.count(",") > max_values:
        raise MalformedMessageError(f"more than {max_values} JSON values")
    _check_depth(bare)


def check_client_shape(text: str) -> None:
    """Refuse a request that takes long to parse, or to make use of.

    Each of these is counted by itself, because each costs something else: strings in an array
    next to nothing, members and containers five times as much, and numbers by their length.
    """
    if len(text) > REQUEST_MAX_TEXT_BYTES:
        raise RequestTooLargeError(
            f"more than {REQUEST_MAX_TEXT_BYTES} bytes, apart from one base64 payload"
        )
    openings = text.count("[") + text.count("{")
    if openings <= MAX_DEPTH and len(text) <= REQUEST_SMALL_BYTES:
        return
    if text.count("\\") > REQUEST_MAX_ESCAPES:
        raise RequestTooLargeError(f"more than {REQUEST_MAX_ESCAPES} backslashes")
    text = _without_escapes(text)
    if openings <= MAX_DEPTH and _is_of_strings(text):
        return
    bare = _without_strings(text, REQUEST_MAX_VALUES + REQUEST_MAX_MEMBERS)
    openings, commas = bare.count("[") + bare.count("{"), bare.count(",")
    members = bare.count(":")
    if openings + commas >= MAX_VALUES:
        raise MalformedMessageError(f"more than {MAX_VALUES} JSON values")
    if openings > REQUEST_MAX_CONTAINERS:
        _check_depth(bare[:REQUEST_MAX_CONTAINERS])  # malformed for everybody, if that is all
        raise RequestTooLargeError(f"more than {REQUEST_MAX_CONTAINERS} JSON arrays and objects")
    if members > REQUEST_MAX_MEMBERS:
        raise RequestTooLargeError(f"more than {REQUEST_MAX_MEMBERS} JSON members")
    if openings + commas > REQUEST_MAX_VALUES:
        raise RequestTooLargeError(f"more than {REQUEST_MAX_VALUES} JSON values")
    blank = bare.count(" ") + bare.count("\n") + bare.count("\t") + bare.count("\r")
    if len(bare) - 2 * openings - commas - members - blank > REQUEST_MAX_NUMBERS_BYTES:
        raise RequestTooLargeError(f"more than {REQUEST_MAX_NUMBERS_BYTES} bytes of numbers")
    _check_depth(bare)


def _is_of_strings(text: str) -> bool:
    """Return whether nearly all values are strings, and not too many: long command lines.

    Args:
        text: Without escapes.

    Quick, and never wrong when true: what stands in strings only makes the counts greater.
    """
    values = 1 + text.count("[") + text.count("{") + text.count(",")
    members = text.count(":")
    others = values + members - text.count('"') // 2
    return (
        values <= REQUEST_MAX_VALUES
        and members <= REQUEST_MAX_MEMBERS
        and others <= _OTHER_VALUES_MAX
    )


def _check_depth(bare: str) -> None:
    """Refuse text, given without its strings, that is nested too deeply."""
    depth = 0
    for bracket in re.sub(_NOT_BRACKET, "", bare):
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedMessageError(f"nested deeper than {MAX_DEPTH} levels")
        else:
            depth -= 1
