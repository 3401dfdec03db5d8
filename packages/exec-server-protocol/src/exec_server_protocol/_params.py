"""Objects of the wire, checked like the models, without loading pydantic.

Pydantic and the models take a quarter of a second of processor time and 20 MiB of a server
that has just been asked for the first time. A server only reads params, and needs of a model
no more than its members. So they are checked here, by a table that is generated from the
models: what is accepted, what comes out and what an error says is the same. A test holds that.

A client writes params and reads answers in the same way (``_plain``).
"""

from __future__ import annotations

import functools
import marshal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ._base64 import encode_base64
from ._checks import (
    PROBLEMS_MAX,
    SCALARS,
    Check,
    Problem,
    ShapeError,
    describe,
    integer,
    one_of,
)
from ._params_table import REQUIRED, TABLE, Kind
from .errors import InvalidParamsError
from .limits import SANDBOX_MAX_BYTES
from .path_uri import PathUri
from .rpc import encode_json

if TYPE_CHECKING:
    from .methods import Method

__all__ = ["Record", "check_envelope", "describe", "read_params", "record_class"]

_REMEMBERED_MAX: Final = 64
"""Contexts: a session uses one or two at a time."""
_REMEMBERED_BYTES: Final = 4 * SANDBOX_MAX_BYTES
"""Of all of them. What is remembered takes some twenty times as much."""


class Record:
    """The members of an object, under their Python names. Shared: nobody changes it.

    There is a class for each model, made when it is needed first.
    """

    def __init__(self, **members: Any) -> None:
        """Check members that were made here: Python values under Python names.

        Raises:
            ShapeError: The model would refuse them.
        """
        self.__dict__ = _record(type(self).__name__)(members).__dict__

    def __repr__(self) -> str:  # without values: they may be secrets
        return f"<Record {' '.join(self.__dict__)}>"

    @classmethod
    def model_validate(cls, value: Any) -> Any:
        """Return the object that JSON stands for.

        Raises:
            ShapeError: The model would refuse it.
        """
        return _record(cls.__name__)(value)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object, as Python values under wire names."""
        return {alias: _wired(value) for alias, value in self._present()}

    def to_json(self) -> bytes:
        """Return the JSON object as compact UTF-8."""
        return b"{%b}" % b",".join(
            b'"%b":%b' % (alias.encode(), _json(value)) for alias, value in self._present()
        )

    def _present(self) -> Iterator[tuple[str, Any]]:
        members = self.__dict__
        for member, alias, kind, _ in TABLE[type(self).__name__]:
            value = members[member]
            if value is not None or kind[0] != "or absent":
                yield alias, value


def _wired(value: Any) -> Any:
    if isinstance(value, bytes):
        return encode_base64(value)
    if isinstance(value, PathUri):
        return str(value)
    if isinstance(value, list):
        return [_wired(item) for item in value]
    return value.to_wire() if hasattr(value, "to_wire") else value


def _json(value: Any) -> bytes:
    if isinstance(value, bytes):  # they may be many, and need no escapes
        return b'"%b"' % encode_base64(value).encode()
    return encode_json(_wired(value))


def read_params(method: Method[Any, Any], value: Any) -> Any:
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
    except ShapeError as error:
        raise InvalidParamsError(str(error)) from None


def check_envelope(
    method: Method[Any, Any], value: Any, positions: Callable[[], list[str]]
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


# --------------------------------------------------------------------------- checks


@functools.cache
def _names(name: str) -> list[str]:
    return [alias for _, alias, _, _ in TABLE[name]]


@functools.cache
def record_class(name: str) -> type[Record]:
    """Return the class of the objects that stand for those of a model."""
    return type(name, (Record,), {"__slots__": ()})


@functools.cache
def _record(name: str) -> Check:
    """Return the check of an object: made when it is needed first."""
    kind_of_record = record_class(name)
    make = kind_of_record.__new__
    fields = [
        (member, alias, _check(kind), default) for member, alias, kind, default in TABLE[name]
    ]

    def check(value: Any) -> Any:
        if type(value) is not dict:
            if type(value).__name__ == name:  # one of these, or of the model
                return value
            raise ShapeError(((), f"Input should be a valid dictionary or instance of {name}"))
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
                members[member] = default.copy() if type(default) in (list, dict) else default
                continue
            try:
                members[member] = check_member(value[given])
            except ShapeError as error:
                problems += error.below(given)
        if problems:
            raise ShapeError(*problems)
        record = make(kind_of_record)
        record.__dict__ = members
        return record

    return check


def _check(kind: Kind) -> Check:
    if isinstance(kind, str):
        return SCALARS[kind]
    word, *arguments = kind
    return _COMPOUND[word](*arguments)


def _or_null(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def _list(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ShapeError(((), "Input should be a valid list"))
        try:
            return [inner(item) for item in value]
        except ShapeError:
            raise _all_problems(enumerate(value), inner) from None

    return check


def _at_most(limit: int, kind: Kind) -> Check:
    """A text or a list that is not longer."""
    inner = _check(kind)

    def check(value: Any) -> Any:
        if type(value) is str and len(value) > limit:
            raise ShapeError(((), f"String should have at most {limit} characters"))
        if type(value) is list and len(value) > limit:
            what = f"List should have at most {limit} items after validation, not {len(value)}"
            raise ShapeError(((), what))
        return inner(value)

    return check


def _map(kind: Kind) -> Check:
    inner = _check(kind)

    def check(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ShapeError(((), "Input should be a valid dictionary"))
        try:
            return {key: inner(item) for key, item in value.items()}
        except ShapeError:
            raise _all_problems(value.items(), inner) from None

    return check


def _map_of(names: Sequence[str], kind: Kind) -> Check:
    """A map whose keys are known."""
    key, inner = one_of(*names), _map(kind)

    def check(value: Any) -> Any:
        for name in value if type(value) is dict else ():
            try:
                key(name)
            except ShapeError as error:
                raise ShapeError(((name, "[key]"), error.problems[0][1])) from None
        return inner(value)

    return check


def _all_problems(items: Iterable[tuple[str | int, Any]], inner: Check) -> ShapeError:
    problems: list[Problem] = []
    for step, item in items:
        try:
            inner(item)
        except ShapeError as error:
            problems += error.below(step)
            if len(problems) >= PROBLEMS_MAX:
                break
    return ShapeError(*problems)


def _tagged(tag: str, variants: dict[str, str]) -> Check:
    """One of several objects, told apart by the member ``tag``."""
    expected = ", ".join(map(repr, variants))

    def check(value: Any) -> Record:
        if type(value) is not dict:
            text = "Input should be a valid dictionary or object to extract fields from"
            raise ShapeError(((), text))
        found = value.get(tag)
        if tag not in value:
            raise ShapeError(((), f"Unable to extract tag using discriminator {tag!r}"))
        if type(found) is not str or found not in variants:
            text = f"Input tag '{found}' found using {tag!r} does not match any of the expected"
            raise ShapeError(((), f"{text} tags: {expected}"))
        try:
            record: Record = _record(variants[found])(value)
        except ShapeError as error:
            raise ShapeError(*error.below(found)) from None
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
        if type(value) is not dict:
            return inner(value)
        # Equal texts only for equal values: unlike ==, it tells true from 1. Version 2 has no
        # references, which would make the text depend on who else knows a string.
        key = marshal.dumps(value, 2)
        if len(key) > SANDBOX_MAX_BYTES:
            text = f"a sandbox context has at most {SANDBOX_MAX_BYTES} bytes"
            raise ShapeError(((), text))
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
    "integer": integer,
    "one of": one_of,
    "or null": _or_null,
    "or absent": _or_null,
    "list": _list,
    "map": _map,
    "map of": _map_of,
    "record": _record,
    "tagged": _tagged,
    "remembered": _remembered,
}
