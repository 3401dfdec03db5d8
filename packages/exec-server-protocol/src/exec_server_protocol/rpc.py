"""Envelopes: one strict decoder and one encoder for single messages.

The dialect is JSON-RPC without the ``jsonrpc`` member:

============ ===============================================
request      ``{"id":…,"method":…,"params":…,"trace":…}``
notification ``{"method":…,"params":…}``
response     ``{"id":…,"result":…}``
error        ``{"error":{"code":…,"message":…},"id":…}``
============ ===============================================

An object is classified by which members are *present*, in this order: ``method`` and
``id`` make a request, ``method`` alone a notification, ``result`` a response, everything
else has to be an error. ``"id":null`` counts as present, and is malformed. Batches are not
part of the dialect.

The decoder is stricter than JSON asks for, because two parsers that read one text in two
ways are a security problem: duplicate keys at any depth, lone surrogates and the ``NaN``
family are malformed. It checks size, depth and number of values *before* it parses, so
that hostile text costs no memory.

Pure: no I/O, no models of particular methods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ._shape import check_client_shape, check_shape
from .errors import MalformedMessageError, RpcError
from .limits import MAX_DEPTH, MAX_VALUES

__all__ = [
    "MALFORMED_ID",
    "ErrorData",
    "ErrorResponse",
    "Message",
    "Notification",
    "Request",
    "RequestId",
    "Response",
    "Trace",
    "decode",
    "decode_from_client",
    "encode_error",
    "encode_json",
    "encode_notification",
    "encode_request",
    "encode_result",
    "encode_result_parts",
    "id_of_start",
]

RequestId = int | str
"""A signed 64-bit integer or a string, possibly empty. Comes back unchanged."""

MALFORMED_ID: Final = -1
"""The id in the answer to bytes whose own id could not be read."""

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context of a request. Neither text is validated on the wire."""

    traceparent: str | None = None
    tracestate: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorData:
    """The body of an error reply."""

    code: int
    message: str
    data: Any = None

    def to_exception(self) -> RpcError:
        """Return the exception that stands for this error; its class follows from the code."""
        return RpcError.from_code(self.code, self.message, self.data)


@dataclass(frozen=True, slots=True)
class Request:
    """A call that expects one answer. ``params`` is ``None`` when absent or null."""

    id: RequestId
    method: str
    params: Any = None
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that expects no answer. ``params`` is ``None`` when absent or null."""

    method: str
    params: Any = None
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """The successful answer to a request."""

    id: RequestId
    result: Any


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The unsuccessful answer to a request."""

    id: RequestId
    error: ErrorData


Message = Request | Notification | Response | ErrorResponse


# --------------------------------------------------------------------------- decoding


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _value in pairs:
            if key in seen:
                raise MalformedMessageError(f"duplicate object key {key[:100]!r}")
            seen.add(key)
    return members


def _no_constant(name: str) -> NoReturn:
    raise MalformedMessageError(f"{name} is no JSON value")


def _any_size_integer(digits: str) -> int | float:
    # Python refuses to convert very long integers, the wire ignores them where they
    # do not matter. As a float it is still a number, and still wrong as an id.
    return int(digits) if len(digits) <= 4300 else float(digits)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_LENIENT_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_any_size_integer
)
# A text, compiled when it is needed: few messages are that odd.
_SURROGATE_ESCAPE: Final = r"\\u[dD][89a-fA-F]"


def _check_strings(value: Any) -> None:
    """Refuse strings with half a surrogate pair: no UTF-8 text can carry them on."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if not item.isascii():
                try:
                    item.encode()
                except UnicodeEncodeError as error:
                    raise MalformedMessageError("lone surrogate in a string") from error
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _parse(data: str | bytes | bytearray | memoryview, check: Callable[[str], None]) -> Any:
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessageError(f"invalid UTF-8 at byte {error.start}") from error
    check(text)
    try:
        try:
            value = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            raise MalformedMessageError(
                f"{error.msg} at line {error.lineno} column {error.colno}"
            ) from error
        except ValueError:
            value = _LENIENT_DECODER.decode(text)
    except RecursionError as error:  # text that only looked shallow, because it is no JSON
        raise MalformedMessageError(f"nested deeper than {MAX_DEPTH} levels") from error
    if "\\u" in text and re.search(_SURROGATE_ESCAPE, text):
        _check_strings(value)
    return value


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return True
    return type(value) is int and _INT64_MIN <= value <= _INT64_MAX


_TRACE_MEMBERS: Final = ("traceparent", "tracestate")


def _trace(value: object) -> Trace | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) <= len(_TRACE_MEMBERS):
        # Compatible servers also take the values without their names, as far as there are any.
        value = dict(zip(_TRACE_MEMBERS, value, strict=False))
    if not isinstance(value, Mapping):
        raise MalformedMessageError("trace is no object")
    parent, state = (value.get(name) for name in _TRACE_MEMBERS)
    if not isinstance(parent, str | None) or not isinstance(state, str | None):
        raise MalformedMessageError("trace holds something that is no string")
    return Trace(parent, state)


def _error(value: object) -> ErrorData:
    if not isinstance(value, Mapping):
        raise MalformedMessageError("error is no object")
    code, message = value.get("code"), value.get("message")
    if type(code) is not int or not _INT64_MIN <= code <= _INT64_MAX:
        raise MalformedMessageError("error code is no integer")
    if not isinstance(message, str):
        raise MalformedMessageError("error message is no string")
    return ErrorData(code, message, value.get("data"))


def decode(data: str | bytes | bytearray | memoryview, *, max_values: int = MAX_VALUES) -> Message:
    """Return the one message that ``data`` holds.

    Args:
        data: A whole message, as text or as UTF-8. The caller has checked its size.
        max_values: JSON values it may hold; more only for a peer that is trusted with memory.

    Raises:
        MalformedMessageError: It is not one. The text tells what is wrong and where; of the
            content it quotes at most the name of a duplicate key.
    """
    return _message(_parse(data, lambda text: check_shape(text, max_values)))


_ID_FIRST: Final = r'\s*\{\s*"id"\s*:\s*(-?\d{1,19}|"[^"\\]{0,200}")\s*,'


def id_of_start(text: str) -> RequestId:
    """Return the id with which a request begins that cannot be parsed, if it begins with one.

    Args:
        text: The first few hundred characters.
    """
    found = re.match(_ID_FIRST, text)
    if found is None:
        return MALFORMED_ID
    return found[1][1:-1] if found[1][0] == '"' else int(found[1])


def decode_from_client(data: str | bytes | bytearray | memoryview) -> Message:
    """Return the one message that ``data`` holds; for servers, whose time many clients share.

    As ``decode``, with the limits of ``REQUEST_…`` in ``limits``: nothing that a request needs
    comes near them, and no message within them takes long.

    Args:
        data: A whole message, as text or as UTF-8.

    Raises:
        MalformedMessageError: As ``decode``, or a limit is exceeded; the text says which.
    """
    return _message(_parse(data, check_client_shape))


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        raise MalformedMessageError("expected a JSON object")
    if "id" in value and not _is_id(value["id"]):
        raise MalformedMessageError("id is neither a string nor a 64-bit integer")
    if "method" in value:
        method = value["method"]
        if not isinstance(method, str):
            raise MalformedMessageError("method is no string")
        if "id" in value:
            return Request(value["id"], method, value.get("params"), _trace(value.get("trace")))
        try:
            trace = _trace(value.get("trace"))
        except MalformedMessageError:
            trace = None  # nobody could be answered; the notification itself is sound
        return Notification(method, value.get("params"), trace)
    if "result" not in value and "error" not in value:
        raise MalformedMessageError("neither method, result nor error")
    if "id" not in value:
        raise MalformedMessageError("missing id")
    if "result" in value:
        return Response(value["id"], value["result"])
    return ErrorResponse(value["id"], _error(value["error"]))


# --------------------------------------------------------------------------- encoding

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode_json(value: Any) -> bytes:
    """Return ``value`` as compact UTF-8 JSON.

    Raises:
        ValueError: It holds NaN, an infinity or half a surrogate pair.
    """
    return _ENCODER.encode(value).encode()


def _id(request_id: RequestId) -> bytes:
    return b"%d" % request_id if isinstance(request_id, int) else encode_json(request_id)


def encode_request(
    request_id: RequestId, method: str, params: bytes | None, trace: Trace | None = None
) -> bytes:
    """Return a request. ``params`` is JSON already, or ``None`` to leave the member out."""
    parts = [b'{"id":', _id(request_id), b',"method":', encode_json(method)]
    if params is not None:
        parts += [b',"params":', params]
    if trace is not None and trace.traceparent is not None:
        members = {"traceparent": trace.traceparent}
        if trace.tracestate is not None:
            members["tracestate"] = trace.tracestate
        parts += [b',"trace":', encode_json(members)]
    parts.append(b"}")
    return b"".join(parts)


def encode_notification(method: str, params: bytes | None) -> bytes:
    """Return a notification. ``params`` is JSON already, or ``None`` to leave it out."""
    if params is None:
        return b'{"method":%b}' % encode_json(method)
    return b'{"method":%b,"params":%b}' % (encode_json(method), params)


def encode_result(request_id: RequestId, result: bytes) -> bytes:
    """Return a successful answer. ``result`` is JSON already and is spliced in as it is."""
    return b'{"id":%b,"result":%b}' % (_id(request_id), result)


def encode_result_parts(request_id: RequestId, parts: Sequence[bytes]) -> list[bytes]:
    """Return a successful answer in parts, for a result that comes in parts, at least one."""
    encoded = list(parts)
    encoded[0] = b'{"id":%b,"result":%b' % (_id(request_id), encoded[0])
    encoded[-1] += b"}"
    return encoded


def encode_error(request_id: RequestId, error: ErrorData) -> bytes:
    """Return an error answer, ``error`` before ``id``; ``data`` is left out when ``None``."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return b'{"error":%b,"id":%b}' % (encode_json(body), _id(request_id))
