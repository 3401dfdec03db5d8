"""A schema reduced to its structure, in one canonical form.

The binary writes draft-07 bundles that also hold prose, and that spell one structure in many
ways, depending on what somebody commented. Reduced, two schemas are equal exactly when they
accept the same messages in the same shape:

* no ``$schema``, ``title``, ``description``, ``$comment``, ``examples``;
* one flat ``definitions`` (a bundle keeps most of its types under ``definitions.v2``);
* an empty schema and ``true`` are ``true``;
* ``additionalProperties: true`` is left out, unless it says that an object with fields is
  open on purpose;
* ``oneOf`` is ``anyOf``: the arms exclude each other anyway, by a tag or by their kind;
* arms that are strings with fixed values are one ``enum``; nested ``anyOf`` is flattened;
* properties beside an ``anyOf`` move into each of its arms;
* ``allOf`` of one thing is that thing, unless a ``default`` beside it needs the wrapper;
* a type list is ``[x, "null"]`` or else an ``anyOf``;
* keys are sorted; so is every array but a tuple's ``items`` and a ``default``.

Reducing what is reduced changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from ..errors import ToolError

__all__ = [
    "Json",
    "canonical_text",
    "fixture_text",
    "needed",
    "reduce_bundle",
    "reduce_schema",
    "references",
]

Json = Any
"""A parsed JSON value."""

_PROSE: Final = frozenset({"$schema", "title", "description", "$comment", "examples"})
_KNOWN: Final = frozenset(
    {
        *("$ref", "additionalProperties", "allOf", "anyOf", "default", "definitions", "enum"),
        *("format", "items", "minLength", "minimum", "oneOf", "properties", "required", "type"),
    }
)
_V2: Final = "#/definitions/v2/"


def canonical_text(value: Json) -> str:
    """Return the shortest text of ``value``; equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fixture_text(value: Json) -> str:
    """Return ``value`` as a fixture file holds it: one member a line, so that diffs are small."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _sorted(values: Iterable[Json]) -> list[Json]:
    return sorted(values, key=canonical_text)


def reduce_schema(schema: Json) -> Json:
    """Return one schema in canonical form.

    Raises:
        ToolError: It uses something that the types of this package could not express. Then
            the generator has to learn it; guessing would make the fixtures lie.
    """
    if isinstance(schema, bool):
        if not schema:
            raise ToolError("a schema that accepts nothing is not supported")
        return True
    node = {key: value for key, value in schema.items() if key not in _PROSE}
    if unknown := node.keys() - _KNOWN:
        raise ToolError(f"schema keywords that are not supported: {sorted(unknown)}")
    if "allOf" in node:
        node = _unwrap(node)
    if "oneOf" in node:
        node["anyOf"] = [*node.get("anyOf", ()), *node.pop("oneOf")]
    kinds = node.get("type")
    if isinstance(kinds, list) and not (len(kinds) == 2 and "null" in kinds):
        rest = {key: value for key, value in node.items() if key not in ("type", "default")}
        arms = [{**rest, "type": kind} for kind in kinds]
        node = {"anyOf": arms, **({"default": node["default"]} if "default" in node else {})}
    if "anyOf" in node:
        return _reduce_union(node)
    return _reduce_plain(node) or True


def _unwrap(node: dict[str, Json]) -> dict[str, Json]:
    if len(node["allOf"]) != 1 or node.keys() - {"allOf", "default"}:
        raise ToolError("allOf is supported around one schema only")
    (inner,) = node["allOf"]
    if "default" not in node:
        return {key: value for key, value in inner.items() if key not in _PROSE}
    return node if "$ref" in inner else {**inner, "default": node["default"]}


def _reduce_plain(node: dict[str, Json]) -> dict[str, Json]:
    out = {}
    for key, value in sorted(node.items()):
        reduced = _REDUCERS.get(key, _same)(value)
        if reduced is not _NOTHING:
            out[key] = reduced
    if out.get("additionalProperties") is True and "properties" not in out:
        del out["additionalProperties"]
    return out


def _same(value: Json) -> Json:
    return value


def _properties(value: Json) -> Json:
    return {k: reduce_schema(part) for k, part in sorted(value.items())} if value else _NOTHING


def _items(value: Json) -> Json:
    # A tuple's items are a list, whose order has a meaning.
    return [*map(reduce_schema, value)] if isinstance(value, list) else reduce_schema(value)


def _set(value: Json) -> Json:
    return _sorted(value) if value else _NOTHING


_NOTHING: Final = object()
_REDUCERS: Final[dict[str, Callable[[Json], Json]]] = {
    "$ref": lambda value: value.replace(_V2, "#/definitions/"),
    "additionalProperties": lambda value: value and reduce_schema(value),
    "allOf": lambda value: [*map(reduce_schema, value)],
    "enum": _set,
    "items": _items,
    "minimum": int,
    "properties": _properties,
    "required": _set,
    "type": lambda value: sorted(value) if isinstance(value, list) else value,
}


def _reduce_union(node: dict[str, Json]) -> Json:
    outer = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    arms: list[Json] = []
    for arm in map(reduce_schema, node["anyOf"]):
        flat = isinstance(arm, dict) and arm.keys() == {"anyOf"}
        arms += arm["anyOf"] if flat else [arm]
    if outer:
        shared = _reduce_plain(outer)
        arms = [_with_shared(arm, shared) for arm in arms]
    fixed = [arm for arm in arms if isinstance(arm, dict) and arm.keys() == {"enum", "type"}]
    if len(fixed) > 1:
        values = _sorted({value for arm in fixed for value in arm["enum"]})
        arms = [arm for arm in arms if arm not in fixed] + [{"enum": values, "type": "string"}]
    unique = {canonical_text(arm): arm for arm in arms}
    arms = [unique[text] for text in sorted(unique)]
    default = {"default": node["default"]} if "default" in node else {}
    if len(arms) == 1:
        (only,) = arms
        return {**only, **default} if isinstance(only, dict) else only
    return {"anyOf": arms, **default}


def _with_shared(arm: Json, shared: Mapping[str, Json]) -> Json:
    """Return an arm together with what stood beside the union."""
    if not isinstance(arm, dict) or arm.get("type") != "object":
        raise ToolError("properties beside a union need arms that are objects")
    properties = {**shared.get("properties", {}), **arm.get("properties", {})}
    required = {*shared.get("required", ()), *arm.get("required", ())}
    merged = {**shared, **arm, "properties": dict(sorted(properties.items()))}
    return merged | ({"required": sorted(required)} if required else {})


def references(schema: Json) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def needed(name: str, definitions: Mapping[str, Json]) -> set[str]:
    """Return the definitions that one of them reaches, directly or not."""
    found: set[str] = set()
    pending = set(references(definitions[name]))
    while pending:
        other = pending.pop()
        found.add(other)
        pending |= set(references(definitions[other])) - found
    return found


def reduce_bundle(bundle: Mapping[str, Json], *, single: bool = False) -> dict[str, Json]:
    """Return the definitions of a bundle or of a fixture.

    Args:
        bundle: The parsed file.
        single: It is the file of one type, which gets the name ``""``. Definitions that it
            does not need are left out: the binary forgets to, when it drops a gated field.

    Raises:
        ToolError: Two namespaces define one name differently, or :func:`reduce_schema` failed.
    """
    source = dict(bundle.get("definitions", {}))
    spaces = [source.pop("v2", {}), source]
    out: dict[str, Json] = {}
    for space in spaces:
        for name, schema in space.items():
            try:
                reduced = reduce_schema(schema)
            except ToolError as error:
                raise ToolError(f"{name}: {error}") from error
            if out.setdefault(name, reduced) != reduced:
                raise ToolError(f"{name} is defined twice, differently")
    if single:
        out[""] = reduce_schema({k: v for k, v in bundle.items() if k != "definitions"})
        out = {name: out[name] for name in {"", *needed("", out)}}
    return dict(sorted(out.items()))
