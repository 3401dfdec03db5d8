"""The reference server's lenient reading of a text: the first of four shapes that fits wins.

Facts about 0.169.0, each found by asking it:

* members that a shape does not have are ignored, even when they come twice, and so is an id or
  a trace that made a notification of a request; one that it has must come once;
* an array is the members of a shape in their order, and so is one where a trace or the body of
  an error is meant; optional ones may be left out at its end;
* text nested deeper than 127 levels is no JSON to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ._json import Data, decoder, parse
from .errors import MalformedMessageError
from .rpc import Message, _error_reply, _notification, _request, _response

__all__ = ["first_that_fits"]

_MAX_DEPTH: Final = 127

# Members of each shape in the server's order, and how many of them an array must have.
_SHAPES: Final[Sequence[tuple[Sequence[str], int, Callable[[dict[str, Any]], Message]]]] = (
    (("id", "method", "params", "trace"), 2, _request),
    (("method", "params"), 1, _notification),
    (("id", "result"), 2, _response),
    (("error", "id"), 2, _error_reply),
)
_INNER: Final[Mapping[str, tuple[Sequence[str], int]]] = {
    "trace": (("traceparent", "tracestate"), 0),
    "error": (("code", "data", "message"), 3),
}


class _Repetitive(dict[str, Any]):
    """An object with members that came more than once: the last of each, and their names."""

    repeated: frozenset[str]


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = [name for name, _ in pairs]
    found = _Repetitive(members)
    found.repeated = frozenset(name for name in members if names.count(name) > 1)
    return found


_DECODER: Final = decoder(object_pairs_hook=_members)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _as_object(value: Any, names: Sequence[str], least: int) -> dict[str, Any]:
    """Return a value as the members of a struct, as far as it can be read as one."""
    if isinstance(value, list):
        if not least <= len(value) <= len(names):
            raise MalformedMessageError("shape", "an array of another length")
        return dict(zip(names, value, strict=False))
    if not isinstance(value, dict):
        raise MalformedMessageError("shape", "neither object nor array")
    if isinstance(value, _Repetitive) and not value.repeated.isdisjoint(names):
        raise MalformedMessageError("shape", "a member that came twice")
    return value


def first_that_fits(data: Data) -> Message | None:
    """Return the message that the server would read, or ``None`` if it would drop the text."""
    try:
        value = parse(data, _DECODER)
    except MalformedMessageError:
        return None
    if not isinstance(value, dict | list) or _is_too_deep(value):
        return None
    for names, least, shape in _SHAPES:
        try:
            members = dict(_as_object(value, names, least))
            for name, struct in _INNER.items():
                if name in names and members.get(name) is not None:
                    members[name] = _as_object(members[name], *struct)
            return shape({name: members[name] for name in names if name in members})
        except (MalformedMessageError, KeyError):
            continue
    return None
