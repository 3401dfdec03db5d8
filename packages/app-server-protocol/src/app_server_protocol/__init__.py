"""Typed messages of the Codex app-server JSON-RPC API.

The root has the envelope (``rpc``) and the handshake, as the same objects that those modules
have, loaded on first use. Everything else is imported by topic:

=================== ===========================================================
``types``           every payload, as typed dictionaries
``registry``        methods, and the types that go with them
``inbound``         a view of what came in that survives what is newer
``outbound``        requests, checked before they are sent
``experimental``    what needs a capability, and why
``validate``        full validation (extra ``validate``)
``legacy_v1``       three methods of the first API
``schema``          the JSON Schema, and ``python -m app_server_protocol.schema``
=================== ===========================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .handshake import INITIALIZED as INITIALIZED
    from .handshake import Capabilities as Capabilities
    from .handshake import ClientInfo as ClientInfo
    from .handshake import InitializeParams as InitializeParams
    from .handshake import InitializeResponse as InitializeResponse
    from .rpc import MAX_INTEGER_ID as MAX_INTEGER_ID
    from .rpc import MIN_INTEGER_ID as MIN_INTEGER_ID
    from .rpc import UNSET as UNSET
    from .rpc import ErrorData as ErrorData
    from .rpc import ErrorResponse as ErrorResponse
    from .rpc import MalformedMessageError as MalformedMessageError
    from .rpc import Message as Message
    from .rpc import Notification as Notification
    from .rpc import Request as Request
    from .rpc import RequestId as RequestId
    from .rpc import Response as Response
    from .rpc import Rule as Rule
    from .rpc import Trace as Trace
    from .rpc import Unset as Unset
    from .rpc import decode as decode
    from .rpc import decode_lenient as decode_lenient
    from .rpc import encode as encode
    from .rpc import is_request_id as is_request_id

_NAMES = {
    "handshake": (
        "INITIALIZED",
        "Capabilities",
        "ClientInfo",
        "InitializeParams",
        "InitializeResponse",
    ),
    "rpc": (
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
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
