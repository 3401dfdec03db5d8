"""A view of a message that came in: what it is, of which type, and what is new about it.

Nothing here raises because a message is newer than this package, or is no message at all:
an unknown notification, request, item type, enum value or field is passed through as it is,
and flagged. The text that came in is always kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

from ._structure import Finding, FindingKind, findings
from .errors import MalformedMessageError
from .registry import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    Method,
)
from .rpc import (
    UNSET,
    ErrorData,
    ErrorResponse,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    decode,
)

__all__ = ["Finding", "FindingKind", "Inbound", "InboundKind", "from_client", "from_server"]

InboundKind: TypeAlias = Literal["request", "notification", "response", "error", "malformed"]
MethodOf: TypeAlias = Callable[[RequestId], str | None]

_METHOD_NOT_FOUND: Final = -32601  # JSON-RPC's code; the server only shows the text
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message and what is known about it.

    Attributes:
        raw: The text as it came in.
        kind: Which shape it has.
        message: The decoded envelope; ``None`` if ``malformed``.
        method: Its method, or the method that it answers; ``None`` if that is not known.
        entry: The method's row in the registry; ``None`` if the method is unknown here.
        problem: Why it is ``malformed``; else ``None``.
    """

    raw: str
    kind: InboundKind
    message: Message | None = None
    method: str | None = None
    entry: Method | None = None
    problem: MalformedMessageError | None = None

    @property
    def is_known(self) -> bool:
        """Whether the method is one that this package has types for."""
        return self.entry is not None

    @property
    def payload(self) -> Any:
        """The params, the result or the error's data; ``UNSET`` if there are none."""
        match self.message:
            case Request(params=params) | Notification(params=params):
                return params
            case Response(result=result):
                return result
            case ErrorResponse(error=error):
                return error.data
        return UNSET

    @property
    def payload_type(self) -> str | None:
        """Name of the payload's type, for ``registry.type_named``; ``None`` if not known."""
        if self.entry is None:
            return None
        match self.kind:
            case "request" | "notification":
                return self.entry.params
            case "response":
                return self.entry.result
        return None

    def novelties(self) -> tuple[Finding, ...]:
        """Return where the payload is not what its type says; empty if nothing is known.

        Costs about as much as parsing the message did, and the first call reads the schema.
        """
        name, payload = self.payload_type, self.payload
        if name is None or self.entry is None:
            return ()
        if self.kind != "response" and (payload is UNSET or payload is None):
            return (Finding("", "missing"),) if self.entry.params_rule == "required" else ()
        return findings(payload, name)

    def payload_as(self, kind: type[_T]) -> _T:
        """Return the payload under its static type. Nothing is checked but the type's name.

        Args:
            kind: The class of ``types`` that belongs to the method. Six payloads are of a type
                that is a union without its own class: ``cast`` those.

        Raises:
            TypeError: The method has another type: a bug of the caller.
        """
        if not isinstance(kind, type):
            raise TypeError(f"{self.payload_type} is a union without its own class: cast")
        if kind.__name__ != self.payload_type:
            raise TypeError(f"{self.method} has {self.payload_type}, not {kind.__name__}")
        payload: _T = self.payload
        return payload

    def refusal(self, text: str | None = None) -> ErrorResponse:
        """Return an answer for a request that cannot be served, an unknown one above all.

        Every request has to be answered: the server's turn waits for it.

        Raises:
            TypeError: This is no request.
        """
        if not isinstance(self.message, Request):
            raise TypeError("only a request can be refused")
        reason = text or f"method not supported: {self.message.method}"
        return ErrorResponse(ErrorData(_METHOD_NOT_FOUND, reason), self.message.id)


def _no_method(request_id: RequestId) -> str | None:
    return None


def from_server(data: str | bytes, method_of: MethodOf = _no_method) -> Inbound:
    """Return the view of what a server sent. Never raises.

    Args:
        data: One message.
        method_of: Tells the method of a request of ours by its id, so that the answer can be
            typed; ``None`` for one that it does not know.
    """
    return _view(data, SERVER_REQUESTS, SERVER_NOTIFICATIONS, CLIENT_METHODS, method_of)


def from_client(data: str | bytes, method_of: MethodOf = _no_method) -> Inbound:
    """Return the view of what a client sent; for servers, proxies and recorders."""
    return _view(data, CLIENT_METHODS, CLIENT_NOTIFICATIONS, SERVER_REQUESTS, method_of)


def _view(
    data: str | bytes,
    requests: Any,
    notifications: Any,
    answered: Any,
    method_of: MethodOf,
) -> Inbound:
    raw = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        message = decode(data)
    except MalformedMessageError as problem:
        return Inbound(raw, "malformed", problem=problem)
    match message:
        case Request(method=name):
            return Inbound(raw, "request", message, name, requests.get(name))
        case Notification(method=name):
            return Inbound(raw, "notification", message, name, notifications.get(name))
        case _:
            asked = method_of(message.id)
            kind: InboundKind = "response" if isinstance(message, Response) else "error"
            return Inbound(raw, kind, message, asked, answered.get(asked))
