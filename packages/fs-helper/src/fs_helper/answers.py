"""Answer of an operation: the JSON text of a result object, or bytes; whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final

from exec_server_protocol.helper import DATA_BYTES

from .params import Params

__all__ = [
    "BUFFER",
    "EMPTY",
    "BulkOperation",
    "BulkPieces",
    "Operation",
    "Pieces",
    "dump",
    "join",
]

Pieces = Generator[bytes, None, bytes]
"""Yields the pieces of a JSON text, each small enough for a frame, and returns the last."""

BulkPieces = Generator[memoryview, None, memoryview]
"""The same for the bytes of a file. A piece lasts until the next one is asked for."""

Operation = Callable[[Params], "bytes | Pieces | BulkPieces"]
"""Takes the params of a request."""

BulkOperation = Callable[[Params, bytearray], bytes]
"""Takes the params of a request, and the bytes that travelled apart from them."""

_PIECE_CHARACTERS: Final = 256 * 1024
"""A piece goes out when it has grown to this: far below what a frame holds, so that the last
text added to it fits in as well."""

BUFFER: Final = memoryview(bytearray(DATA_BYTES))
"""Where bytes of files are read to, by whoever answers: answers are made one after the other,
and a piece is written before the next is made. Whoever reads the first piece has something to
do while the next is made, and what was read is still in the cache of the processor when it is
written."""

EMPTY: Final = b"{}"
"""The answer of operations that have nothing to say."""


def dump(value: Mapping[str, Any]) -> bytes:
    """Return the JSON text of an object, in ASCII: it may be cut anywhere."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def join(texts: Iterable[str]) -> Pieces:
    """Produce pieces from many short ASCII texts, without holding them all."""
    collected: list[str] = []
    size = 0
    for text in texts:
        collected.append(text)
        size += len(text)
        if size >= _PIECE_CHARACTERS:
            yield "".join(collected).encode("ascii")
            collected.clear()
            size = 0
    return "".join(collected).encode("ascii")
