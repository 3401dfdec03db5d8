"""The base of every wire type: member names, strictness, what happens to unknown members.

Python names are snake_case, wire names camelCase. Types are strict, because the wire's
other implementations are: ``"1"`` is no integer and ``1`` is no boolean. Members that
this version does not know are ignored, so that an older peer understands a newer one.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["WireModel"]


class WireModel(BaseModel):
    """A params, result or notification object of the wire.

    Instances are frozen. Construct them with Python names; ``to_wire`` and
    ``to_json`` write wire names in declaration order.

    Validators are built on first use (``defer_build``): importing all models would
    otherwise cost a starting server some 40 ms for types that it may never need.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        strict=True,
        extra="ignore",
        defer_build=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object, as Python values under wire names."""
        return self.model_dump(mode="json")

    def to_json(self) -> bytes:
        """Return the JSON object as compact UTF-8."""
        return self.model_dump_json().encode()
