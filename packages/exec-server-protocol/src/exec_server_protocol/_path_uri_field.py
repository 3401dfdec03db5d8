"""``PathUri`` as a member of a model: a string on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from .path_uri import PathUri

__all__ = ["WirePathUri"]


def _validate(value: object) -> PathUri:
    if isinstance(value, PathUri):
        return value
    if not isinstance(value, str):
        raise ValueError("Input should be a string: a file: URI")
    return PathUri.parse(value)


WirePathUri = Annotated[
    PathUri,
    PlainValidator(_validate),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
"""A ``PathUri`` in Python, its text on the wire."""
