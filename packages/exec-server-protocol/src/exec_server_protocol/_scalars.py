"""Scalar types of the wire: base64 payloads, sizes, identifiers."""

from __future__ import annotations

import binascii
from typing import Annotated, NewType

import pybase64
from pydantic import BeforeValidator, Field, PlainSerializer

__all__ = ["Base64Bytes", "ProcessId", "SessionId", "UnsignedInt", "decode_base64", "encode_base64"]

ProcessId = NewType("ProcessId", str)
"""Name of a process, chosen by the client, unique in a session. Never the OS pid.

Any string goes: empty, long, with any characters.
"""

SessionId = NewType("SessionId", str)
"""Name of a session: a lower-case, hyphenated UUID version 4, made by the server."""


def encode_base64(data: bytes | bytearray | memoryview) -> str:
    """Return ``data`` in the standard alphabet, padded, without line breaks."""
    return pybase64.b64encode_as_string(data)


def decode_base64(text: str | bytes | memoryview) -> bytes:
    """Return the bytes that ``text`` stands for, accepting one spelling only.

    The alphabet is the standard one, padding is required, the unused bits of the
    last symbol are zero and there is no whitespace: two texts never mean the same
    bytes.

    Raises:
        ValueError: ``text`` is anything else. The message names no content.
    """
    try:
        data = pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not valid base64") from error
    # The last symbol may carry bits that no byte uses. Only they can differ once the
    # alphabet and the padding are right, so it is enough to encode the end again.
    rest = len(data) % 3
    if rest:
        end = text[-4:]
        spelled = end if isinstance(end, str) else bytes(end).decode()
        if encode_base64(data[-rest:]) != spelled:
            raise ValueError("not valid base64")
    return data


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

UnsignedInt = Annotated[int, Field(ge=0, le=2**64 - 1)]
"""An integer of 64 bits without sign: sizes, offsets, sequence numbers, milliseconds."""
