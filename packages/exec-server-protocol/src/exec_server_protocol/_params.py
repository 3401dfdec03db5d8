"""Params as a server reads them: checked like the models, without loading pydantic.

Pydantic and the models take a quarter of a second of processor time and 20 MiB of a server
that has just been asked for the first time. A server only reads params, and needs of a model
no more than its members. So they are checked here, by a table that is generated from the
models: what is accepted, what comes out and what an error says is the same. A test holds that.
"""

from __future__ import annotations

import functools
import marshal
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ._base64 import decode_base64
from ._params_table import REQUIRED, TABLE, Kind
from .errors import InvalidParamsError
from .limits import SANDBOX_MAX_BYTES
from .path_uri import PathUri

if TYPE_CHECKING:
    from .methods import Method

__all__ = ["Record", "check_envelope", "describe", "read_params"]

Check = Callable[[Any], Any]
"""Returns the Python value of a JSON value, or raises ``_WrongError``."""

Problem = tuple[tuple[str | int, ...], str]
"""Where something is wrong, and what."""

_PROBLEMS_MAX: Final = 3
"""Problems that an error names."""

_REMEMBERED_MAX: Final = 64
"""Contexts: a session uses one or two at a time."""
_REMEMBERED_BYTES: Final = 4 * SANDBOX_MAX_BYTES
"""Of all of them. What is remembered takes some twenty times as much."""

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_UUID_GROUPS: Final = [8, 4, 4, 4, 12]


class Record:
    """The members of an object, under their Python names. Shared: nobody changes it."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.__dict__ = members

    def __repr__(self) -> str:  # without values: they may be secrets
        return f"<Record {' '.join(self.__dict__)}>"


class _WrongError(Exception):
    """What is wrong, and where: a problem for each place."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems

    def below(self, step: str | int) -> list[Problem]:
        return [((step, *where), what) for where, what in self.problems]


def read_params(method: Method, value: Any) -> Any:
    """Return an object with the members of the method's model, as ``Method.decode_params`` does.

    Args:
        method: A request.
        value: The member as parsed: an object, an array that lists the members in their
            order, or ``None`` when it was absent.

    Raises:
        InvalidParamsError: The shape is wrong, in the words of ``decode_params``.
    """
    members = check_envelope(method, value, lambda: _names(method.params_name))
    try:
        return _record(method.params_name)(members)
    except _WrongError as error:
        raise InvalidParamsError(describe(error.problems)) from None


def check_envelope(
    method: Method, value: Any, positions: Callable[[], list[str]]
) -> dict[str, Any]:
    """Return params as an object.

    Args:
        method: Whose they are.
        value: As parsed.
        positions: Returns the names of the members in the order of the positional form.

    Raises:
        InvalidParamsError: They are no object, or hold what must not be ignored.
    """
    if method.takes_no_params:
        if value is None or (value == {} and isinstance(value, dict)):
            return {}
        raise InvalidParamsError(f"{method.name} takes no params")
    if isinstance(value, list):
        names = positions()
        if len(value) > len(names):
            raise InvalidParamsError(f"params: at most {len(names)} elements expected")
        value = dict(zip(names, value, strict=False))
    elif not isinstance(value, dict):
        raise InvalidParamsError(f"params: expected an object for {method.name}")
    if "sandboxPolicy" in value:
        # An old form of `sandbox`. Ignoring it would run the request unconfined.
        raise InvalidParamsError("sandboxPolicy is no longer understood: use sandbox")
    members: dict[str, Any] = value
    return members


def describe(problems: Sequence[Problem]) -> str:
    """Name what is wrong without quoting it: values may be secrets, and may be huge."""
    return "; ".join(
        f"{'.'.join(str(step)[:60] for step in where) or 'params'}: {what}"
        for where, what in problems[:_PROBLEMS_MAX]
    )


# --------------------------------------------------------------------------- checks


@functools.cache
def _names(name: str) -> list[str]:
    return [alias for _, alias, _, _ in TABLE[name]]


@functools.cache
def _record(name: str) -> Check:
    """Return the check of an object: made when it is needed first."""
    fields = [
        (member, alias, _check(kind), default) for member, alias, kind, default in TABLE[name]
    ]

    def check(value: Any) -> Record:
        if type(value) is not dict:
            raise _WrongError(((), f"Input should be a valid dictionary or instance of {name}"))
        members: dict[str, Any] = {}
        problems: list[Problem] = []
        for member, alias, check_member, default in fields:
            if alias in value:
                given = alias
            elif member in value:  # models take both
                given = member
            elif default is REQUIRED:
                problems.append(((alias,), "Field required"))
                continue
            else:
                members[member] = [] if type(default) is list else default
                continue
            try:
                members[member] = check_member(value[given])
            except _WrongError as error:
                problems += error.below(given)
        if problems:
            raise _WrongError(*problems)
        return Record(members)

    return check


def _check(kind: Kind) -> Check:
    if isinstance(kind, str):
        return _SCALARS[kind]
    word, *arguments = kind
    return _COMPOUND[word](*arguments)


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise _WrongError(((), "Input should be a valid string"))


def _flag(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise _WrongError(((), "Input should be a valid boolean"))


def _object(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise _WrongError(((), "Input should be a valid dictionary"))


def _base64(value: Any) -> bytes:
    if type(value) is not str:
        raise _WrongError(((), "Input should be a valid bytes"))
    try:
        return decode_base64(value)
    except ValueError as error:
        raise _WrongError(((), str(error))) from None


def _uri(value: Any) -> PathUri:
    if type(value) is not str:
        raise _WrongError(((), "Input should be a string: a file: URI"))
    try:
        return PathUri.parse(value)
    except ValueError as error:
        raise _WrongError(((), str(error))) from None


def _uuid(value: Any) -> str:
    """A UUID stays the text that it was: nobody does anything with it."""
    if type(value) is not str:
        raise _WrongError(((), "UUID input should be a string, bytes or UUID object"))
    if not _is_uuid(value):
        raise _WrongError(((), "Input should be a valid UUID"))
    return value


def _is_uuid(text: str) -> bool:
    """Whether a text spells a UUID: bare, or with hyphens and perhaps braces or ``urn:uuid:``."""
    if len(text) == 32:
        return _HEX.issuperset(text)
    bare = text[1:-1] if text[:1] + text[-1:] == "{}" else text.removeprefix("urn:uuid:")
    groups = bare.split("-")
    return [*map(len, groups)] == _UUID_GROUPS and all(map(_HEX.issuperset, groups))


_SCALARS: Final[dict[str, Check]] = {
    "text": _text,
    "flag": _flag,
    "object": _object,
    "base64": _base64,
    "uri": _uri,
    "uuid": _uuid,
}


def _integer(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int:
            raise _WrongError(((), "Input should be a valid integer"))
        if value < least:
            raise _WrongError(((), f"Input should be greater than or equal to {least}"))
        if value > most:
            raise _WrongError(((), f"Input should be less than or equal to {most}"))
        return value

    return check


def _one_of(*values: str) -> Check:
    known = frozenset(values)
    *others, last = map(repr, values)
    expected = f"{', '.join(others)} or {last}" if others else last

    def check(value: Any) -> str:
        if type(value) is str and value in known:
            return value
        raise _WrongError(((), f"Input should be {expected}"))

    return check


def _or_null(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def _list(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _WrongError(((), "Input should be a valid list"))
        try:
            return [inner(item) for item in value]
        except _WrongError:
            raise _all_problems(enumerate(value), inner) from None

    return check


def _at_most(limit: int, kind: Kind) -> Check:
    """A text or a list that is not longer."""
    inner = _check(kind)

    def check(value: Any) -> Any:
        if type(value) is str and len(value) > limit:
            raise _WrongError(((), f"String should have at most {limit} characters"))
        if type(value) is list and len(value) > limit:
            what = f"List should have at most {limit} items after validation, not {len(value)}"
            raise _WrongError(((), what))
        return inner(value)

    return check


def _map(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _WrongError(((), "Input should be a valid dictionary"))
        try:
            return {key: inner(item) for key, item in value.items()}
        except _WrongError:
            raise _all_problems(value.items(), inner) from None

    return check


def _all_problems(items: Iterable[tuple[str | int, Any]], inner: Check) -> _WrongError:
    problems: list[Problem] = []
    for step, item in items:
        try:
            inner(item)
        except _WrongError as error:
            problems += error.below(step)
            if len(problems) >= _PROBLEMS_MAX:
                break
    return _WrongError(*problems)


def _tagged(tag: str, variants: dict[str, str]) -> Check:
    """One of several objects, told apart by the member ``tag``."""
    expected = ", ".join(map(repr, variants))

    def check(value: Any) -> Record:
        if type(value) is not dict:
            text = "Input should be a valid dictionary or object to extract fields from"
            raise _WrongError(((), text))
        found = value.get(tag)
        if tag not in value:
            raise _WrongError(((), f"Unable to extract tag using discriminator {tag!r}"))
        if type(found) is not str or found not in variants:
            text = f"Input tag '{found}' found using {tag!r} does not match any of the expected"
            raise _WrongError(((), f"{text} tags: {expected}"))
        try:
            record: Record = _record(variants[found])(value)
        except _WrongError as error:
            raise _WrongError(*error.below(found)) from None
        return record

    return check


@functools.cache
def _remembered(kind: Kind) -> Check:
    """A value that comes again and again: equal JSON gives the same object.

    A client sends the same policy with every request of a session, and checking one takes
    longer than many an operation.
    """
    inner = _check(kind)
    known: dict[bytes, Any] = {}

    def check(value: Any) -> Any:
        # Equal texts only for equal values: unlike ==, it tells true from 1. Version 2 has no
        # references, which would make the text depend on who else knows a string.
        key = marshal.dumps(value, 2)
        if len(key) > SANDBOX_MAX_BYTES:
            text = f"a sandbox context has at most {SANDBOX_MAX_BYTES} bytes"
            raise _WrongError(((), text))
        found = known.get(key)
        if found is None:
            found = inner(value)
            if len(known) >= _REMEMBERED_MAX or len(key) + sum(map(len, known)) > _REMEMBERED_BYTES:
                known.clear()
            known[key] = found
        return found

    return check


_COMPOUND: Final[dict[str, Callable[..., Check]]] = {
    "at most": _at_most,
    "integer": _integer,
    "one of": _one_of,
    "or null": _or_null,
    "list": _list,
    "map": _map,
    "record": _record,
    "tagged": _tagged,
    "remembered": _remembered,
}
