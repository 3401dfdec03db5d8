"""Numbers and texts with bounds, and what stands beside a field's type in ``types``.

The annotations are facts about the wire. They cost nothing at run time; when pydantic builds
a validator from them (see ``validate``) they become checks. This module does not import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

__all__ = [
    "SCALARS",
    "Default",
    "Float64",
    "Int32",
    "Int64",
    "IntegerRange",
    "NonEmptyText",
    "NonZeroUInt",
    "TextLength",
    "UInt",
    "UInt16",
    "UInt32",
    "UInt64",
]


@dataclass(frozen=True, slots=True)
class Default:
    """The value that the peer takes an absent field for. It is not filled in by anything here."""

    value: Any


@dataclass(frozen=True, slots=True)
class IntegerRange:
    """The lowest and the highest integer of a type, both included."""

    lowest: int
    highest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # the ``validate`` extra

        return core_schema.int_schema(ge=self.lowest, le=self.highest)


@dataclass(frozen=True, slots=True)
class TextLength:
    """The smallest number of characters of a text."""

    shortest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # the ``validate`` extra

        return core_schema.str_schema(min_length=self.shortest)


Int32: TypeAlias = Annotated[int, IntegerRange(-(2**31), 2**31 - 1)]
Int64: TypeAlias = Annotated[int, IntegerRange(-(2**63), 2**63 - 1)]
UInt16: TypeAlias = Annotated[int, IntegerRange(0, 2**16 - 1)]
UInt32: TypeAlias = Annotated[int, IntegerRange(0, 2**32 - 1)]
UInt64: TypeAlias = Annotated[int, IntegerRange(0, 2**64 - 1)]
UInt: TypeAlias = Annotated[int, IntegerRange(0, 2**64 - 1)]
"""As wide as a pointer of the peer, which is a 64-bit program."""
NonZeroUInt: TypeAlias = Annotated[int, IntegerRange(1, 2**64 - 1)]
Float64: TypeAlias = float
NonEmptyText: TypeAlias = Annotated[str, TextLength(1)]

SCALARS: Final[dict[str, dict[str, Any]]] = {
    "Int32": {"format": "int32", "type": "integer"},
    "Int64": {"format": "int64", "type": "integer"},
    "UInt16": {"format": "uint16", "minimum": 0, "type": "integer"},
    "UInt32": {"format": "uint32", "minimum": 0, "type": "integer"},
    "UInt64": {"format": "uint64", "minimum": 0, "type": "integer"},
    "UInt": {"format": "uint", "minimum": 0, "type": "integer"},
    "NonZeroUInt": {"format": "uint", "minimum": 1, "type": "integer"},
    "Float64": {"format": "double", "type": "number"},
    "NonEmptyText": {"minLength": 1, "type": "string"},
}
"""Each of them as the schema has it."""
