"""Base64 with one spelling. Light: no pydantic."""

from __future__ import annotations

import binascii

import pybase64

__all__ = ["decode_base64", "encode_base64"]


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
