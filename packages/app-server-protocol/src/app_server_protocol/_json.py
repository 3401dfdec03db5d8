"""JSON text to values and back, as the dialect wants it. Standard library only."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn, TypeAlias

from .errors import MalformedMessageError

__all__ = ["Data", "compact", "decoder", "parse"]

Data: TypeAlias = str | bytes | bytearray | memoryview
"""A whole message, as text or as UTF-8."""

_MOST_DIGITS: Final = 4300  # where Python's own limit is, unless somebody moved it
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")

compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Return a value as one line; raises ``ValueError`` for NaN and the infinities."""


def _no_constant(name: str) -> NoReturn:
    raise MalformedMessageError("json", f"{name} is no JSON value")


def _integer(digits: str) -> int | float:
    # Python refuses to convert thousands of digits. As a float it is a number still, as it is
    # to the server, and still no request id.
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def decoder(**options: Any) -> json.JSONDecoder:
    """Return a decoder without ``NaN`` and the infinities."""
    return json.JSONDecoder(parse_constant=_no_constant, **options)


_DECODER: Final = decoder()


def parse(data: Data, decode: json.JSONDecoder = _DECODER) -> Any:
    """Return the value that a text holds.

    Raises:
        MalformedMessageError: It is no JSON, or holds half a surrogate pair.
    """
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessageError("utf-8", f"invalid UTF-8 at byte {error.start}") from error
    try:
        try:
            value = decode.decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            slower = decoder(parse_int=_integer, object_pairs_hook=decode.object_pairs_hook)
            value = slower.decode(text)
        if _SURROGATE_ESCAPE.search(text):
            # An escaped pair is fine, half of one is not: no UTF-8 text could carry it on.
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedMessageError("json", f"{error.msg} at {where}") from error
    except UnicodeEncodeError as error:
        raise MalformedMessageError("surrogate", "half a surrogate pair in a string") from error
    except RecursionError as error:
        raise MalformedMessageError("depth", "nested too deeply") from error
    return value
