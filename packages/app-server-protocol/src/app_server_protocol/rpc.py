"""Envelopes: one strict decoder, one decoder that errs like the real server, one encoder.

The dialect is JSON-RPC without the ``jsonrpc`` member, one object a line or a text frame:

============= ================================================= =======================
class         on the wire                                       schema definition
============= ================================================= =======================
Request       ``{"id":…,"method":…,"params":…,"trace":…}``      ``JSONRPCRequest``
Notification  ``{"method":…,"params":…,"emittedAtMs":…}``       ``JSONRPCNotification``
Response      ``{"id":…,"result":…}``                           ``JSONRPCResponse``
ErrorResponse ``{"error":{"code":…,"message":…},"id":…}``       ``JSONRPCError``
============= ================================================= =======================

A decoded message encodes to the text it came from, as far as JSON's compact form goes: it
remembers the order of its members and keeps "absent" (:data:`UNSET`) apart from ``null``
(``None``). What is lost on purpose are members that no rule knows, except on a notification,
where the server itself adds some, and in the body of an error.

Pure, and it imports the standard library only. The caller bounds the size of a message.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ._json import Data, compact, parse
from .errors import MalformedMessageError, Rule

__all__ = [
    "MAX_INTEGER_ID",
    "MIN_INTEGER_ID",
    "UNSET",
    "ErrorData",
    "ErrorResponse",
    "MalformedMessageError",
    "Message",
    "Notification",
    "Request",
    "RequestId",
    "Response",
    "Rule",
    "Trace",
    "Unset",
    "decode",
    "decode_lenient",
    "encode",
    "is_request_id",
]

RequestId: TypeAlias = int | str
"""A signed 64-bit integer or a string, possibly empty. It comes back unchanged."""

MIN_INTEGER_ID: Final = -(2**63)
MAX_INTEGER_ID: Final = 2**63 - 1  # the peer reads integer ids as signed 64-bit


class Unset(enum.Enum):
    """The type of :data:`UNSET`; an enum, so that type checkers can tell it apart."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""A member that is absent. Not the same as ``None``, which is ``null``."""


def is_request_id(value: object) -> bool:
    """Whether ``value`` can be a request id: ``True`` and ``1.0`` cannot, unlike in Python."""
    if isinstance(value, str):
        return True
    return type(value) is int and MIN_INTEGER_ID <= value <= MAX_INTEGER_ID


def _require_id(value: object) -> None:
    if not is_request_id(value):
        raise ValueError("a request id is a string or a signed 64-bit integer")


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context of a request (``W3cTraceContext``). The texts are not validated."""

    traceparent: str | Unset | None = UNSET
    tracestate: str | Unset | None = UNSET


_Order: TypeAlias = tuple[str, ...]
# How the members were ordered when decoded; no part of a message's value.
_NO_ORDER: Final[_Order] = ()


@dataclass(frozen=True, slots=True)
class ErrorData:
    """The body of an error reply (``JSONRPCErrorError``).

    The server uses few codes for many things: do not branch on ``code`` alone.

    Attributes:
        data: Whatever the peer adds; mostly nothing.
        extra: Further members, which a newer peer may send, in their order.
    """

    code: int
    message: str
    data: Any = UNSET
    extra: Mapping[str, Any] = field(default_factory=dict)
    member_order: _Order = field(default=_NO_ORDER, repr=False, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Request:
    """A call that expects one reply.

    Raises:
        ValueError: ``id`` is neither a string nor a signed 64-bit integer.
    """

    id: RequestId
    method: str
    params: Any = UNSET
    trace: Trace | Unset | None = UNSET
    member_order: _Order = field(default=_NO_ORDER, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_id(self.id)


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that expects no reply.

    Attributes:
        emitted_at_ms: When the server sent it, in milliseconds since 1970. The server puts
            it on everything it sends.
        extra: Further members, which a newer server may send, in their order.
    """

    method: str
    params: Any = UNSET
    emitted_at_ms: int | Unset = UNSET
    extra: Mapping[str, Any] = field(default_factory=dict)
    member_order: _Order = field(default=_NO_ORDER, repr=False, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Response:
    """The successful reply to a request.

    Raises:
        ValueError: ``id`` is neither a string nor a signed 64-bit integer.
    """

    id: RequestId
    result: Any
    member_order: _Order = field(default=_NO_ORDER, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_id(self.id)


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The unsuccessful reply to a request.

    Raises:
        ValueError: ``id`` is neither a string nor a signed 64-bit integer.
    """

    error: ErrorData
    id: RequestId
    member_order: _Order = field(default=_NO_ORDER, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_id(self.id)


Message: TypeAlias = Request | Notification | Response | ErrorResponse
"""Any message (``JSONRPCMessage``)."""


# --------------------------------------------------------------------------- decoding


_NOTIFICATION: Final = frozenset({"id", "method", "params"})  # an id that is no id is lost
_ERROR_BODY: Final = frozenset({"code", "message", "data"})


def _object(data: Data) -> dict[str, Any]:
    value = parse(data)
    if not isinstance(value, dict):
        raise MalformedMessageError("object", "expected a JSON object")
    return value


def _string(members: Mapping[str, Any], key: str, rule: Rule) -> str:
    value = members.get(key)
    if not isinstance(value, str):
        raise MalformedMessageError(rule, f"{key} is no string")
    return value


def _id(members: Mapping[str, Any]) -> RequestId:
    if "id" not in members:
        raise MalformedMessageError("id", "id is missing")
    value = members["id"]
    if not is_request_id(value):
        raise MalformedMessageError("id", "id is neither a string nor a signed 64-bit integer")
    return value  # type: ignore[no-any-return]  # the check above


def _trace(value: object) -> Trace | Unset | None:
    if value is None or value is UNSET:
        return value
    if not isinstance(value, dict):
        raise MalformedMessageError("trace", "trace is no object")
    texts = (value.get("traceparent", UNSET), value.get("tracestate", UNSET))
    if not all(isinstance(text, str | None | Unset) for text in texts):
        raise MalformedMessageError("trace", "trace holds something that is no string")
    return Trace(*texts)


def _error(value: object) -> ErrorData:
    if not isinstance(value, dict):
        raise MalformedMessageError("error", "error is no object")
    code = value.get("code")
    if type(code) is not int or not MIN_INTEGER_ID <= code <= MAX_INTEGER_ID:
        raise MalformedMessageError("error", "error code is no signed 64-bit integer")
    return ErrorData(
        code,
        _string(value, "message", "error"),
        value.get("data", UNSET),
        {key: item for key, item in value.items() if key not in _ERROR_BODY},
        member_order=tuple(value),
    )


def _request(members: dict[str, Any]) -> Request:
    return Request(
        _id(members),
        _string(members, "method", "method"),
        members.get("params", UNSET),
        _trace(members.get("trace", UNSET)),
        member_order=tuple(members),
    )


def _notification(members: dict[str, Any]) -> Notification:
    method = _string(members, "method", "method")
    extra = {key: value for key, value in members.items() if key not in _NOTIFICATION}
    emitted_at_ms = extra.get("emittedAtMs")
    if type(emitted_at_ms) is int:
        del extra["emittedAtMs"]
    else:  # absent, or of a kind that only a newer server knows: then it stays in ``extra``
        emitted_at_ms = UNSET
    return Notification(
        method, members.get("params", UNSET), emitted_at_ms, extra, member_order=tuple(members)
    )


def _response(members: dict[str, Any]) -> Response:
    return Response(_id(members), members["result"], member_order=tuple(members))


def _error_reply(members: dict[str, Any]) -> ErrorResponse:
    return ErrorResponse(_error(members.get("error")), _id(members), member_order=tuple(members))


def decode(data: Data) -> Message:
    """Return the one message that ``data`` holds, classified by the members present.

    ``method`` with ``id`` is a request, ``method`` alone a notification, ``result`` a
    response, ``error`` an error reply; ``"id":null`` counts as present, and is malformed.
    Unknown methods and unknown members are no reason to refuse.

    Args:
        data: A whole message, as text or as UTF-8.

    Raises:
        MalformedMessageError: It is not one; its ``rule`` says why.
    """
    members = _object(data)
    if "method" in members:
        return _request(members) if "id" in members else _notification(members)
    if "result" in members:
        return _response(members)
    if "error" in members:
        return _error_reply(members)
    raise MalformedMessageError("shape", "neither method, result nor error")


def decode_lenient(data: Data) -> Message | None:
    """Return what the reference server would take ``data`` for, or ``None`` if it drops it.

    It tries the four shapes in turn and takes the first that fits. A request whose id or
    trace is unusable is therefore a *notification* to it, and is never answered. It also takes
    an array for the members in their order. Good for a server that is compared with the real
    one, and for recorders; others use :func:`decode`.
    """
    from ._lenient import first_that_fits  # few have a use for it

    return first_that_fits(data)


# --------------------------------------------------------------------------- encoding


def _present(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not UNSET}


def _members(message: Message) -> dict[str, Any]:
    match message:
        case Request(id_, method, params, trace):
            if isinstance(trace, Trace):
                wire: Any = _present(traceparent=trace.traceparent, tracestate=trace.tracestate)
            else:
                wire = trace
            return _present(id=id_, method=method, params=params, trace=wire)
        case Notification(method, params, emitted_at_ms, extra):
            known = _present(method=method, params=params, emittedAtMs=emitted_at_ms)
            return {**known, **extra, **known}
        case Response(id_, result):
            return {"id": id_, "result": result}
        case ErrorResponse(error, id_):
            # The server's order, which is that of the alphabet.
            body = _present(code=error.code, data=error.data, message=error.message)
            body = {**body, **error.extra, **body}
            return {"error": _ordered(body, error.member_order), "id": id_}


def _ordered(members: dict[str, Any], order: _Order) -> dict[str, Any]:
    """Return the members in the order in which they came; what is new comes last."""
    if not order:
        return members
    return {**{key: members[key] for key in order if key in members}, **members}


def encode(message: Message) -> str:
    """Return ``message`` as one line of compact JSON, without the line's end.

    Non-ASCII characters are not escaped. A decoded message keeps the order of its members,
    so a proxy sends on what it received.

    Raises:
        ValueError: It holds NaN, an infinity or half a surrogate pair.
        TypeError: It holds something that JSON cannot express.
    """
    text = compact(_ordered(_members(message), message.member_order))
    if not text.isascii():
        text.encode()  # raises for half a surrogate pair, here and not in a transport
    return text
