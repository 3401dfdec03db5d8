"""Comparison of a payload with the structure of its type, without importing the types.

Works on the schema that comes with the package, with the standard library only. It is
used both ways: to flag what is new in a message that came in, and to refuse a typo in one
that is about to go out.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ._overrides import ABSOLUTE_PATH_TYPES

__all__ = ["Finding", "FindingKind", "definitions", "findings"]

FindingKind: TypeAlias = Literal["field", "value", "variant", "missing", "kind"]

_SCHEMA: Final = Path(__file__).parent / "schema" / "experimental.json"
# On the server, whatever its system is.
_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")
_MAX_FINDINGS: Final = 100  # enough for a log line; hostile payloads could have millions


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a payload is not what its type says.

    Attributes:
        path: Where, such as ``thread.turns[0].items[2].type``; empty for the payload itself.
        kind: ``field``: the type has no such field. ``value``: not one of the fixed texts,
            or no absolute path. ``variant``: no arm of a union fits. ``missing``: a required
            field is absent. ``kind``: a different kind of JSON value.
    """

    path: str
    kind: FindingKind

    def __str__(self) -> str:
        texts: dict[FindingKind, str] = {
            "field": "unknown field",
            "value": "unknown value",
            "variant": "unknown variant",
            "missing": "missing field",
            "kind": "wrong kind of value",
        }
        return f"{texts[self.kind]} {self.path}" if self.path else texts[self.kind]


@functools.cache
def definitions() -> Mapping[str, Any]:
    """Return the definitions of the experimental surface. Reads a file once, some 10 ms."""
    found: Mapping[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))["definitions"]
    return found


def findings(payload: object, type_name: str) -> tuple[Finding, ...]:
    """Return where a payload is not of a type; empty when it is, or when nothing is known.

    Never raises because of the payload. Fields of objects that are open on purpose are not
    reported. At most 100 findings are returned.
    """
    schema = definitions().get(type_name)
    if schema is None:  # the first API has no schema
        return ()
    found = []
    for finding in _walk(payload, schema, ""):
        found.append(finding)
        if len(found) == _MAX_FINDINGS:
            break
    return tuple(found)


def _is_kind(value: object, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, Mapping)


_ABSOLUTE_PATH: Final = {"type": "absolute path"}  # stands for types that are such texts


def _resolve(schema: Any) -> Any:
    """Follow references to a schema that says something itself."""
    while isinstance(schema, dict):
        if "allOf" in schema:
            schema = schema["allOf"][0]
        elif "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name in ABSOLUTE_PATH_TYPES:
                return _ABSOLUTE_PATH
            schema = definitions()[name]
        else:
            break
    return schema


def _walk(value: Any, schema: Any, path: str) -> Iterator[Finding]:
    schema = _resolve(schema)
    if schema is True:
        return
    if "anyOf" in schema:
        yield from _union(value, schema["anyOf"], path)
        return
    if schema is _ABSOLUTE_PATH:
        if not isinstance(value, str):
            yield Finding(path, "kind")
        elif not _ABSOLUTE.match(value):
            yield Finding(path, "value")
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is_kind(value, kind) for kind in kinds):
        yield Finding(path, "kind")
    elif isinstance(value, str):
        if "enum" in schema and value not in schema["enum"]:
            yield Finding(path, "value")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, schema.get("items", True), f"{path}[{index}]")
    elif isinstance(value, Mapping):
        yield from _object(value, schema, path)


def _object(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    prefix = f"{path}." if path else ""
    properties = schema.get("properties")
    for key in schema.get("required", ()):
        if key not in value:
            yield Finding(f"{prefix}{key}", "missing")
    if properties is None:  # a map: of one type, or open
        for key, item in value.items():
            yield from _walk(item, schema.get("additionalProperties", True), f"{prefix}{key}")
        return
    for key, item in value.items():
        if key in properties:
            yield from _walk(item, properties[key], f"{prefix}{key}")
        elif schema.get("additionalProperties") is not True:
            yield Finding(f"{prefix}{key}", "field")


def _union(value: Any, arms: list[Any], path: str) -> Iterator[Finding]:
    """Report what the best arm reports: the one with the matching tag, or the closest."""
    best: list[Finding] = []
    for arm in arms:
        found = list(_first(_walk(value, arm, path)))
        if not found:
            return
        misfit = any(finding.path == path and finding.kind == "kind" for finding in found)
        if misfit or _other_tag(value, arm):
            continue
        if not best or _rank(found) < _rank(best):
            best = found
    yield from best or [Finding(path, "variant")]


def _first(found: Iterator[Finding]) -> Iterator[Finding]:
    for number, finding in enumerate(found):
        if number == _MAX_FINDINGS:
            return
        yield finding


def _rank(found: list[Finding]) -> tuple[int, int]:
    return sum(finding.kind != "field" for finding in found), len(found)


def _other_tag(value: Any, arm: Any) -> bool:
    """Whether an arm is for objects that say of themselves that they are something else."""
    arm = _resolve(arm)
    if not isinstance(value, Mapping) or not isinstance(arm, dict):
        return False
    properties: Mapping[str, Any] = arm.get("properties", {})
    required = arm.get("required", ())
    for key, part in properties.items():
        fixed: Sequence[str] = part.get("enum", ()) if isinstance(part, dict) else ()
        if key in required and len(fixed) == 1 and value.get(key) != fixed[0]:
            return True
    # A wrapper such as {"custom": …} is told from another by its only key.
    return len(properties) == 1 and not properties.keys() & value.keys()
