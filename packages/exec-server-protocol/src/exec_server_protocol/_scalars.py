"""Scalar types of the wire: base64 payloads, sizes, identifiers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from ._base64 import decode_base64, encode_base64
from ._names import ProcessId, SessionId
from .limits import NAME_MAX_CHARACTERS

__all__ = [
    "Base64Bytes",
    "ChosenName",
    "ChosenProcessId",
    "FileMode",
    "ProcessId",
    "SessionId",
    "UnsignedInt",
    "decode_base64",
    "encode_base64",
]


def _from_wire(value: object) -> object:
    if isinstance(value, str):
        return decode_base64(value)
    return value


Base64Bytes = Annotated[
    bytes,
    BeforeValidator(_from_wire, json_schema_input_type=str),
    PlainSerializer(encode_base64, return_type=str, when_used="json"),
    Field(json_schema_extra={"contentEncoding": "base64"}),
]
"""Bytes in Python, a base64 string on the wire (see ``decode_base64``)."""

ChosenName = Annotated[str, Field(max_length=NAME_MAX_CHARACTERS)]
"""What a client calls something. It is remembered, and sent back."""

ChosenProcessId = Annotated[ProcessId, Field(max_length=NAME_MAX_CHARACTERS)]
"""What a client calls a process, in a request."""

UnsignedInt = Annotated[int, Field(ge=0, le=2**64 - 1)]
"""An integer of 64 bits without sign: sizes, offsets, sequence numbers, milliseconds."""

FileMode = Annotated[int, Field(ge=0, le=0o7777)]
"""Permission bits of a file, with setuid, setgid and sticky."""
