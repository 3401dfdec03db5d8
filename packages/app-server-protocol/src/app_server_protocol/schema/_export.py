"""The schema that this package's types, tables and envelope classes amount to."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .. import _registry_data as data
from .. import rpc
from . import _facts
from ._manifest import Layout, manifest
from ._source import SourceReader
from .layout import ENVELOPE, SURFACES
from .reduce import Json, reduce_schema

__all__ = ["LAYOUT", "export", "export_fixtures", "read_types"]

LAYOUT: Final = Layout(_facts.FILES, _facts.NOT_IN_FLAT_BUNDLE)
_TYPES: Final = Path(__file__).parents[1] / "types.py"
_ID: Final = {"$ref": "#/definitions/RequestId"}
_INT64: Final = {"format": "int64", "type": "integer"}
_NULL: Final = {"type": "null"}


def _ref(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


# --------------------------------------------------------------------------- envelope

# Members of a class that the schema of its message does not have.
_NOT_IN_SCHEMA: Final = frozenset({"member_order", "emitted_at_ms", "extra"})


def _wire_type(hint: Any) -> Json:
    """Return the schema of an annotation in ``rpc``; ``UNSET`` is the absence of a member."""
    if hint is Any:
        return True
    if hint == rpc.RequestId:
        return _ID
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _ref(next(name for name, mine in ENVELOPE.items() if mine == hint.__name__))
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        arms = [_wire_type(arm) for arm in typing.get_args(hint) if arm is not rpc.Unset]
        if _NULL in arms and len(arms) == 2 and "type" in arms[0]:
            return {**arms[0], "type": [arms[0]["type"], "null"]}
        return {"anyOf": arms}
    return {str: {"type": "string"}, int: _INT64, type(None): _NULL}[hint]


def _envelope() -> dict[str, Json]:
    out: dict[str, Json] = {}
    for name, mine in ENVELOPE.items():
        kind = getattr(rpc, mine)
        if not dataclasses.is_dataclass(kind):
            out[name] = {"anyOf": [_wire_type(arm) for arm in typing.get_args(kind)]}
            continue
        hints = typing.get_type_hints(kind)
        fields = [part for part in dataclasses.fields(kind) if part.name not in _NOT_IN_SCHEMA]
        out[name] = {
            "type": "object",
            "properties": {part.name: _wire_type(hints[part.name]) for part in fields},
            "required": [part.name for part in fields if part.default is dataclasses.MISSING],
        }
    return {name: reduce_schema(schema) for name, schema in out.items()}


# --------------------------------------------------------------------------- registry


def _arm(method: str, params: Json, *, required: bool, request: bool) -> Json:
    properties: dict[str, Json] = {"method": {"enum": [method], "type": "string"}}
    names = ["method"]
    if request:
        properties["id"] = _ID
        names.append("id")
    if params is not None:
        properties["params"] = params
        names += ["params"] if required else []
    return {"type": "object", "properties": properties, "required": names}


def _method_unions(experimental: bool) -> dict[str, Json]:
    requests = []
    for method, params, rule, _result, gated in data.CLIENT_METHODS:
        if experimental or not gated:
            nullable = {"anyOf": [_ref(params), _NULL]} if params else _NULL
            schema = _ref(params) if params and rule == "required" else nullable
            requests.append(_arm(method, schema, required=rule == "required", request=True))
    calls = [
        _arm(method, _ref(params), required=True, request=True)
        for method, params, _result, gated in data.SERVER_REQUESTS
        if experimental or not gated
    ]
    announced = [
        _arm(method, _ref(params), required=True, request=False)
        for method, params in data.SERVER_NOTIFICATIONS
    ]
    sent = [
        _arm(method, None, required=False, request=False) for (method,) in data.CLIENT_NOTIFICATIONS
    ]
    unions: dict[str, Json] = {
        "ClientNotification": {"anyOf": sent},
        "ClientRequest": {"anyOf": requests},
        "ServerNotification": {"anyOf": announced, "properties": {"emittedAtMs": _INT64}},
        "ServerRequest": {"anyOf": calls},
    }
    return {name: reduce_schema(schema) for name, schema in unions.items()}


# --------------------------------------------------------------------------- together


def read_types(source: str, facts: Any, surface: str) -> dict[str, Json]:
    """Return the definitions of a surface that the source of types amounts to.

    Args:
        source: The text of ``types.py``.
        facts: What has the attributes of ``_facts``.
        surface: Its name.

    Raises:
        ToolError: The source has a form that cannot be read back.
    """

    def in_stable(name: str) -> bool:
        """Whether a class, a field (``X.field``) or an arm (``|X``) is on the stable surface."""
        if name.startswith("|"):
            return name[1:] not in facts.EXPERIMENTAL_ARMS
        if "." in name:
            return name not in facts.EXPERIMENTAL_FIELDS
        return name not in facts.EXPERIMENTAL_TYPES

    reader = SourceReader(
        source,
        inline=facts.INLINE_TYPES,
        closed=facts.CLOSED_TYPES,
        open=facts.OPEN_TYPES,
        keeps=in_stable if surface == "stable" else lambda name: True,
    )
    return reader.definitions()


@functools.cache
def export(surface: str) -> Mapping[str, Json]:
    """Return the definitions of a surface, reduced, in alphabetical order.

    Raises:
        ToolError: ``types.py`` was edited into a form that cannot be read back.
    """
    classes = read_types(_TYPES.read_text(encoding="utf-8"), _facts, surface)
    found = {**classes, **_envelope(), **_method_unions(surface == "experimental")}
    return dict(sorted(found.items()))


def export_fixtures() -> dict[str, Json]:
    """Return the content of each fixture file by its name."""
    surfaces = {name: export(name) for name in SURFACES}
    gates: dict[str, list[str]] = {}
    for method, path, _when, _words in data.GATES:
        gates.setdefault(method, []).append(path)
    return {
        **{f"{name}.json": {"definitions": found} for name, found in surfaces.items()},
        "manifest.json": manifest(data.WIRE_REVISION, surfaces, LAYOUT, gates),
    }
