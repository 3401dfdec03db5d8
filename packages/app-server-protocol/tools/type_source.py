"""Write the source of ``types.py`` from reduced definitions.

Everything is decided by the definitions alone, so that the same fixtures give the same bytes:
classes come after what they use and otherwise in alphabetical order, and an inline object gets
a name made of where it stands and of what tells it apart.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app_server_protocol._scalars import SCALARS
from app_server_protocol.schema.reduce import references

__all__ = ["TypeSource", "pascal"]

Json = Any

_WIDTH: Final = 100  # columns, as in the rest of the tree
_PLAIN: Final = {"string": "str", "boolean": "bool", "number": "float", "integer": "int"}


def pascal(text: str) -> str:
    """Return ``text`` as part of a class name: ``openai/form`` becomes ``OpenaiForm``."""
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", text) if part)


def _tag(arms: Iterable[Json]) -> str | None:
    """Return the property that has one fixed value in every arm, and tells arms apart."""
    fixed = [
        {key: part["enum"][0] for key, part in arm["properties"].items() if _one_value(part)}
        for arm in arms
    ]
    common = sorted(set.intersection(*(set(values) for values in fixed))) if fixed else []
    by_variety = sorted(common, key=lambda key: -len({values[key] for values in fixed}))
    return by_variety[0] if by_variety else None


def _one_value(schema: Json) -> bool:
    return isinstance(schema, dict) and len(schema.get("enum", ())) == 1


class TypeSource:
    """The source of one module of types.

    Attributes:
        inline: Classes that are no definitions of their own: arms and nested objects.
        closed: Classes whose objects may hold nothing but the fields listed.
        open: Classes whose objects are meant to hold more.
        arms: Text of each arm of a definition that is a union to the name of its class.
    """

    def __init__(
        self,
        definitions: Mapping[str, Json],
        *,
        skip: Iterable[str],
        notes: Mapping[str, str],
        experimental_fields: Mapping[str, Iterable[str]],
    ) -> None:
        self._definitions = {k: v for k, v in definitions.items() if k not in set(skip)}
        self._taken = set(definitions)
        self._notes = notes
        self._experimental = {name: set(fields) for name, fields in experimental_fields.items()}
        self._chunks: list[str] = []
        self.inline: list[str] = []
        self.closed: list[str] = []
        self.open: list[str] = []
        self.names: list[str] = []
        self.arms: dict[tuple[str, str], str] = {}

    def write(self) -> str:
        """Return the definitions as source, without a header."""
        done: set[str] = set()
        for name in sorted(self._definitions):
            self._visit(name, done)
        return "\n\n".join(self._chunks)

    def _visit(self, name: str, done: set[str]) -> None:
        if name in done or name not in self._definitions:
            return
        done.add(name)
        for used in sorted(set(references(self._definitions[name]))):
            self._visit(used, done)
        self._define(name, self._definitions[name])

    def _define(self, name: str, schema: Json) -> None:
        if isinstance(schema, dict) and schema.get("type") == "object":
            values = schema.get("additionalProperties", False)
            if "properties" in schema or values is False:
                self._class(name, schema)
                return
        text = self._union(name, schema) if "anyOf" in schema else self._expr(name, schema)
        self._alias(name, text)

    # ------------------------------------------------------------------ expressions

    def _expr(self, hint: str, schema: Json) -> str:
        if schema is True:
            return "Any"
        if "default" in schema:
            inner = {key: value for key, value in schema.items() if key != "default"}
            inner = inner["allOf"][0] if "allOf" in inner else inner
            value = schema["default"]
            shown = _quote(value) if isinstance(value, str) else repr(value)
            return f"Annotated[{self._expr(hint, inner)}, Default({shown})]"
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            return self._union(hint, schema)
        if "enum" in schema:
            return "Literal[" + ", ".join(_quote(value) for value in schema["enum"]) + "]"
        if isinstance(schema["type"], list):
            kind = next(kind for kind in schema["type"] if kind != "null")
            return self._expr(hint, {**schema, "type": kind}) + " | None"
        return self._typed(hint, schema)

    def _typed(self, hint: str, schema: Json) -> str:
        match schema["type"]:
            case "null":
                return "None"
            case "array":
                return f"list[{self._expr(hint + 'Item', schema.get('items', True))}]"
            case "object" if "properties" in schema:
                return self._inline(hint, schema)
            case "object":
                values = schema.get("additionalProperties", True)
                return f"dict[str, {self._expr(hint + 'Value', values)}]"
        for scalar, shape in SCALARS.items():
            if shape == schema:
                return scalar
        if schema.keys() != {"type"}:
            raise SystemExit(f"{hint}: no scalar of _scalars.py is {schema}")
        return _PLAIN[schema["type"]]

    def _union(self, hint: str, schema: Json) -> str:
        arms = schema["anyOf"]
        named = [arm for arm in arms if isinstance(arm, dict) and "properties" in arm]
        names = dict(zip(map(repr, named), self._arm_names(hint, named), strict=True))
        parts = []
        for arm in arms:
            if repr(arm) in names:
                name = self._inline(names[repr(arm)], arm)
                self.arms[hint, repr(arm)] = name
                parts.append(name)
            else:
                parts.append(self._expr(hint, arm))
        parts.sort(key=lambda part: part == "None")  # by habit, None comes last
        return " | ".join(parts)

    def _arm_names(self, hint: str, arms: list[Json]) -> list[str]:
        if len(arms) == 1 and _tag(arms) is None and len(arms[0].get("required", ())) != 1:
            return [hint + "Object"]
        tag = _tag(arms)
        if tag is not None:
            names = [hint + pascal(arm["properties"][tag]["enum"][0]) for arm in arms]
        else:
            names = [hint + "".join(map(pascal, arm.get("required", ()))) for arm in arms]
        for name in {name for name in names if names.count(name) > 1}:
            same = [index for index, other in enumerate(names) if other == name]
            sets = [set(arms[index].get("required", ())) for index in same]
            for index, required in zip(same, sets, strict=True):
                own = sorted(required - set.intersection(*sets))
                names[index] += "".join(map(pascal, own))
        return names

    def _inline(self, hint: str, schema: Json) -> str:
        name, number = hint, 1
        while name in self._taken:
            number += 1
            name = f"{hint}{number}"
        self._taken.add(name)
        self.inline.append(name)
        self._class(name, schema)
        return name

    # ------------------------------------------------------------------ statements

    def _alias(self, name: str, text: str) -> None:
        self.names.append(name)
        line = f"{name}: TypeAlias = {text}"
        if len(line) > _WIDTH:
            if text.startswith("Literal[") and " | " not in text:
                values = text.removeprefix("Literal[").removesuffix("]").split(", ")
                line = f"{name}: TypeAlias = Literal[\n    " + ",\n    ".join(values) + ",\n]"
            else:
                arms = text.replace(" | ", "\n    | ")
                line = f"{name}: TypeAlias = (\n    {arms}\n)"
        note = self._notes.get(name)
        self._chunks.append(line + (f'\n"""{note}"""' if note else ""))

    def _class(self, name: str, schema: Json) -> None:
        if "additionalProperties" in schema:
            (self.open if schema["additionalProperties"] else self.closed).append(name)
        required = schema.get("required", ())
        fields: dict[str, str] = {}
        for key, part in schema.get("properties", {}).items():
            inner = name + (pascal(key) if not name.endswith(pascal(key)) else "Body")
            text = self._expr(inner, part)
            fields[key] = text if key in required else f"NotRequired[{text}]"
        self.names.append(name)
        gated = self._experimental.get(name, set())
        lines: list[str] = []
        if all(key.isidentifier() and not keyword.iskeyword(key) for key in fields):
            lines.append(f"class {name}(TypedDict):")
            lines += [f'    """{self._notes[name]}"""'] if name in self._notes else []
            lines += [f"    {key}: {text}{_mark(key in gated)}" for key, text in fields.items()]
            lines += ["    pass"] if len(lines) == 1 else []
        else:  # keys that are no Python names
            lines.append(f"{name} = TypedDict(\n    {_quote(name)},\n    {{")
            lines += [f"        {_quote(k)}: {v},{_mark(k in gated)}" for k, v in fields.items()]
            lines.append("    },\n)")
        self._chunks.append("\n".join(lines))


def _mark(experimental: bool) -> str:
    return "  # experimental" if experimental else ""


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
