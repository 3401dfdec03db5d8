"""The table of ``_params_table`` from the models. Only for ``schema``; not used at run time."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import annotated_types
from pydantic import WrapValidator
from pydantic.fields import FieldInfo

from . import _plain
from ._model import WireModel
from ._path_uri_field import WirePathUri
from ._scalars import Base64Bytes
from .methods import METHODS, REQUESTS

__all__ = ["FILE", "table_text"]

FILE: Final = Path(__file__).with_name("_params_table.py")

_HEAD: Final = '''\
# ruff: noqa: E501
# fmt: off
"""Table of the members of params, and of the results that a client reads without models.

Generated from the models by ``python -m exec_server_protocol.schema write``: do not edit, run
that again. A row is a member's Python name, its name on the wire, its kind, its default.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Kind: TypeAlias = str | tuple[Any, ...]

REQUIRED: Final[Any] = object()
"""The default of a member that has none."""

TABLE: Final[dict[str, tuple[tuple[str, str, Kind, Any], ...]]] = {
'''

_SCALARS: Final = {str: "text", bool: "flag", int: "whole", UUID: "uuid"}


def table_text() -> str:
    """Return the source of ``_params_table``."""
    lines = [_HEAD]
    for name, model in sorted(_models().items()):
        lines.append(f"    {_quoted(name)}: (\n")
        for member, field in model.model_fields.items():
            default = "REQUIRED" if field.is_required() else _quoted(field.default)
            row = (
                f"{_quoted(member)}, {_quoted(field.alias or member)}, {_quoted(_of_field(field))}"
            )
            lines.append(f"        ({row}, {default}),\n")
        lines.append("    ),\n")
    return "".join([*lines, "}\n"])


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_quoted, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(k)}: {_quoted(v)}' for k, v in value.items())}}}"
    return repr(value)


def _models() -> dict[str, type[WireModel]]:
    """Return the models of all params and those of ``_plain``, and those in them."""
    todo = [method.params for method in REQUESTS.values()]
    todo += [
        model
        for method in METHODS.values()
        for model in (method.params, method.result)
        if model is not None and model.__name__ in _plain.__all__
    ]
    found: dict[str, type[WireModel]] = {}
    while todo:
        model = todo.pop()
        if model.__name__ not in found:
            found[model.__name__] = model
            todo += (
                part
                for field in model.model_fields.values()
                for part in _parts(field.annotation)
                if isinstance(part, type) and issubclass(part, WireModel)
            )
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _of_field(field: FieldInfo) -> Any:
    if isinstance(field.discriminator, str):
        return _tagged(field.annotation, field.discriminator)
    annotation: Any = field.annotation
    if field.metadata and annotation is not UUID:
        annotation = Annotated[(annotation, *field.metadata)]
    kind = _kind(annotation)
    return ("or absent", *kind[1:]) if field.exclude_if is not None else kind


def _kind(annotation: Any) -> Any:
    """Return the kind of an annotation; fails on one that the table has no word for."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if hasattr(annotation, "__supertype__"):
        return _kind(annotation.__supertype__)
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return ("record", annotation.__name__)
    if origin is Annotated:
        return _annotated(annotation, *arguments)
    if origin is Literal:
        return ("one of", *arguments)
    if origin is list:
        return ("list", _kind(arguments[0]))
    if origin is dict and arguments[0] is str:
        return "object" if arguments[1] is Any else ("map", _kind(arguments[1]))
    if origin is dict and get_origin(arguments[0]) is Literal:
        return ("map of", get_args(arguments[0]), _kind(arguments[1]))
    if origin in (Union, types.UnionType) and len(arguments) == 2 and arguments[1] is type(None):
        return ("or null", _kind(arguments[0]))
    raise TypeError(f"the table of params has no word for {annotation}")


def _annotated(annotation: Any, inner: Any, *metadata: Any) -> Any:
    for known, word in ((WirePathUri, "uri"), (Base64Bytes, "base64")):
        if inner is get_args(known)[0] and get_args(known)[1] in metadata:
            return word
    flat = [part for one in metadata for part in getattr(one, "metadata", [one])]
    if inner is UUID:
        return "uuid"
    if inner is int and len(flat) == 2:
        least, most = flat
        if isinstance(least, annotated_types.Ge) and isinstance(most, annotated_types.Le):
            return ("integer", least.ge, most.le)
    if len(flat) == 1 and isinstance(flat[0], annotated_types.MaxLen):
        return ("at most", flat[0].max_length, _kind(inner))
    discriminator: object = getattr(metadata[0], "discriminator", None)
    if isinstance(discriminator, str):
        return _tagged(inner, discriminator)
    if isinstance(metadata[0], WrapValidator):
        return ("remembered", _kind(inner))
    raise TypeError(f"the table of params has no word for {annotation}")


def _tagged(union: Any, tag: str) -> Any:
    variants = {
        value: model.__name__
        for model in get_args(union)
        for value in get_args(model.model_fields[tag].annotation)
    }
    return ("tagged", tag, variants)
