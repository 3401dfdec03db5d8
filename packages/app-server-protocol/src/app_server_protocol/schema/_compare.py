"""Differences between two sets of definitions, in words that a person can act upon."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .layout import METHOD_UNIONS
from .reduce import Json, canonical_text, references

__all__ = ["Change", "changes", "report"]

Kind = Literal["added", "removed", "changed"]
_MARKS: Final[dict[Kind, str]] = {"added": "+", "removed": "-", "changed": "~"}
_SETS: Final = {"enum": "value", "required": "required"}
_LONGEST_TEXT: Final = 90  # characters of a schema shown; the rest is in the fixture's diff


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        group: What kind of thing it is about, such as ``types`` or ``fields``.
        path: Where: a method, ``Type`` or ``Type.field``.
        detail: What it was and is, or nothing.
    """

    kind: Kind
    group: str
    path: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.kind]} {self.path}" + (f": {self.detail}" if self.detail else "")


def _short(value: Json) -> str:
    text = canonical_text(value)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _keyed(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[tuple[Kind, str]]:
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            yield "removed", key
        elif key not in old:
            yield "added", key
        elif old[key] != new[key]:
            yield "changed", key


def changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Change]:
    """Yield the differences between two sets of definitions, most important groups first."""
    for union, group in METHOD_UNIONS.items():
        before, after = _methods(old.get(union)), _methods(new.get(union))
        for kind, method in _keyed(before, after):
            detail = _call_change(before[method], after[method]) if kind == "changed" else ""
            yield Change(kind, group, method, detail)
    for kind, name in _keyed(old, new):
        if name in METHOD_UNIONS and kind == "changed":
            continue
        if kind == "changed":
            yield from _inside(name, old[name], new[name])
        else:
            yield Change(kind, "types", name)


def _methods(union: Json) -> dict[str, Json]:
    """Return the arms of a union of methods, by method."""
    if not isinstance(union, dict):
        return {}
    arms = union.get("anyOf", [union])
    return {arm["properties"]["method"]["enum"][0]: arm for arm in arms}


def _call_change(old: Json, new: Json) -> str:
    """Return what is different about calling a method."""
    before, after = _call(old), _call(new)
    return f"{before} -> {after}" if before != after else f"{_short(old)} -> {_short(new)}"


def _call(arm: Json) -> str:
    names = list(references(arm["properties"].get("params")))
    if not names:
        return "no params"
    return names[0] if "params" in arm.get("required", ()) else f"{names[0]} or null"


def _inside(path: str, old: Json, new: Json) -> Iterator[Change]:
    """Yield the differences inside one definition."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield Change("changed", "types", path, f"{_short(old)} -> {_short(new)}")
        return
    for kind, key in _keyed(old, new):
        before, after = old.get(key), new.get(key)
        if key == "properties":
            yield from _fields(path, before or {}, after or {}, new)
        elif key in _SETS:
            yield from _members(path, _SETS[key], before or (), after or ())
        elif key == "anyOf" and kind == "changed":
            yield from _arms(path, old[key], new[key])
        elif key == "items" and kind == "changed":
            yield from _inside(f"{path}[]", before, after)
        else:
            yield Change("changed", "types", path, f"{key} {_short(before)} -> {_short(after)}")


def _fields(
    path: str, old: Mapping[str, Json], new: Mapping[str, Json], owner: Mapping[str, Json]
) -> Iterator[Change]:
    for kind, key in _keyed(old, new):
        where = f"{path}.{key}"
        if kind == "added":
            needed = "required" if key in owner.get("required", ()) else "optional"
            yield Change("added", "fields", where, f"{needed}, {_short(new[key])}")
        elif kind == "removed":
            yield Change("removed", "fields", where)
        else:
            yield from _inside(where, old[key], new[key])


def _members(path: str, what: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    group = "values" if what == "value" else "fields"
    for value in sorted(set(old) | set(new)):
        where = f"{path} {what} {value!r}"
        if value not in new:
            yield Change("removed", group, where)
        elif value not in old:
            yield Change("added", group, where)


def _arms(path: str, old: Sequence[Json], new: Sequence[Json]) -> Iterator[Change]:
    labels = [_label(arm) for arm in old], [_label(arm) for arm in new]
    alike = {label for side in labels for label in side if side.count(label) > 1}
    before = {_label(arm, longer=alike): arm for arm in old}
    after = {_label(arm, longer=alike): arm for arm in new}
    for kind, label in _keyed(before, after):
        where = f"{path}({label})"
        if kind == "changed":
            yield from _inside(where, before[label], after[label])
        else:
            yield Change(kind, "arms", where)


def _label(arm: Json, *, longer: Container[str] = ()) -> str:
    """Return what tells an arm apart, so that one with a new field stays itself.

    Args:
        arm: The arm.
        longer: Labels that several arms have; those get the names of their required fields.
    """
    if not isinstance(arm, dict):
        return "anything"
    if "$ref" in arm:
        return str(arm["$ref"].rpartition("/")[2])
    if "enum" in arm:
        return "fixed values"
    tags = [
        f"{key}={part['enum'][0]}"
        for key, part in arm.get("properties", {}).items()
        if isinstance(part, dict) and len(part.get("enum", ())) == 1
    ]
    required = ",".join(arm.get("required", ()))
    label = ",".join(tags) or required or str(arm.get("type"))
    return f"{label}; {required}" if label in longer else label


def report(found: Sequence[Change]) -> list[str]:
    """Return differences as lines, under a heading for each group."""
    lines: list[str] = []
    for group in dict.fromkeys(change.group for change in found):
        lines.append(f"  {group}")
        lines += [f"    {change}" for change in found if change.group == group]
    return lines
