"""Source of the types, read back as reduced schemas.

The source is read, not the imported module: there, an alias is still a name, and a field's
annotation is what a person sees. It understands exactly the forms that the generator writes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

from .._scalars import SCALARS
from ..errors import ToolError
from .reduce import Json, reduce_schema

__all__ = ["SourceReader"]

_PLAIN: Final = {
    "Any": True,
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "str": {"type": "string"},
}


class SourceReader:
    """The definitions in the source of one module.

    Args:
        source: The text.
        inline: Classes that stand where they are used.
        closed: Classes whose objects hold nothing else.
        open: Classes whose objects are meant to hold more.
        keeps: Whether a class (``"X"``) or a field (``"X.field"``) belongs to the surface.
    """

    def __init__(
        self,
        source: str,
        *,
        inline: frozenset[str],
        closed: frozenset[str],
        open: frozenset[str],
        keeps: Callable[[str], bool],
    ) -> None:
        self._inline = inline
        self._closed = closed
        self._open = open
        self._keeps = keeps
        self._nodes: dict[str, ast.expr | ast.ClassDef] = {}
        for node in ast.parse(source).body:
            match node:
                case ast.ClassDef(name=name):
                    self._nodes[name] = node
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._nodes[name] = value
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as value):
                    self._nodes[name] = value

    def definitions(self) -> dict[str, Json]:
        """Return every definition of the surface.

        Raises:
            ToolError: The source has a form that the generator does not write.
        """
        names = sorted(self._nodes.keys() - self._inline)
        return {name: self._definition(name) for name in names if self._keeps(name)}

    def _definition(self, name: str) -> Json:
        node = self._nodes[name]
        try:
            if isinstance(node, ast.ClassDef | ast.Call):
                return reduce_schema(self._object(name, node))
            return reduce_schema(self._expr(node))
        except ToolError as error:
            raise ToolError(f"types.py: {name}: {error}") from error

    def _object(self, name: str, node: ast.ClassDef | ast.Call) -> Json:
        fields = _class_fields(node) if isinstance(node, ast.ClassDef) else _call_fields(node)
        properties: dict[str, Json] = {}
        required = []
        for key, annotation in fields.items():
            if not self._keeps(f"{name}.{key}"):
                continue
            match annotation:
                case ast.Subscript(value=ast.Name(id="NotRequired"), slice=inner):
                    properties[key] = self._expr(inner)
                case _:
                    properties[key] = self._expr(annotation)
                    required.append(key)
        out: dict[str, Json] = {"type": "object"}
        if properties:
            out["properties"] = properties
        if required:
            out["required"] = required
        if name in self._closed | self._open:
            out["additionalProperties"] = name in self._open
        return out

    def _expr(self, node: ast.expr) -> Json:
        match node:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(op=ast.BitOr()):
                return self._union(node)
            case ast.Subscript(value=ast.Name(id=form), slice=inner):
                return self._subscript(form, inner)
        raise ToolError(f"line {node.lineno}: cannot read {ast.unparse(node)}")

    def _name(self, name: str) -> Json:
        if name in _PLAIN:
            return _PLAIN[name]
        if name in SCALARS:
            return SCALARS[name]
        if name in self._inline:
            return self._object_of(name)
        return {"$ref": f"#/definitions/{name}"}

    def _object_of(self, name: str) -> Json:
        node = self._nodes.get(name)
        if not isinstance(node, ast.ClassDef | ast.Call):
            raise ToolError(f"{name} is no class")
        return self._object(name, node)

    def _subscript(self, form: str, inner: ast.expr) -> Json:
        match form, inner:
            case "Literal", ast.Tuple(elts=values):
                return {"type": "string", "enum": [ast.literal_eval(value) for value in values]}
            case "Literal", _:
                return {"type": "string", "enum": [ast.literal_eval(inner)]}
            case "list", _:
                return {"type": "array", "items": self._expr(inner)}
            case "dict", ast.Tuple(elts=[ast.Name(id="str"), value]):
                return {"type": "object", "additionalProperties": self._expr(value)}
            case "Annotated", ast.Tuple(elts=[base, ast.Call(func=ast.Name(id="Default")) as call]):
                schema = self._expr(base)
                default = {"default": ast.literal_eval(call.args[0])}
                return {"allOf": [schema], **default} if "$ref" in schema else schema | default
        raise ToolError(f"line {inner.lineno}: cannot read {form}[{ast.unparse(inner)}]")

    def _union(self, node: ast.expr) -> Json:
        parts: list[ast.expr] = []
        while isinstance(node, ast.BinOp):
            parts.append(node.right)
            node = node.left
        parts.append(node)
        arms = [
            self._expr(part)
            for part in parts
            if not isinstance(part, ast.Name) or self._keeps(f"|{part.id}")
        ]
        plain = [arm for arm in arms if arm != {"type": "null"}]
        if len(plain) == 1 and len(arms) == 2 and isinstance(plain[0], Mapping):
            (only,) = plain
            if isinstance(only.get("type"), str) and "enum" not in only:
                return {**only, "type": [only["type"], "null"]}
        return {"anyOf": arms}


def _class_fields(node: ast.ClassDef) -> dict[str, ast.expr]:
    return {
        part.target.id: part.annotation
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


def _call_fields(node: ast.Call) -> dict[str, ast.expr]:
    match node.args:
        case [_, ast.Dict(keys=keys, values=values)]:
            pairs = zip(keys, values, strict=True)
            return {ast.literal_eval(key): value for key, value in pairs if key is not None}
    raise ToolError(f"line {node.lineno}: no TypedDict call")
