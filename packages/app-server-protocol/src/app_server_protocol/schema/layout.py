"""Paths of the fixtures, and the part of the package that each definition comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = [
    "ENVELOPE",
    "ENVELOPE_FILES",
    "FIXTURES",
    "METHOD_UNIONS",
    "SURFACES",
    "WRITE_COMMAND",
]

FIXTURES: Final = Path(__file__).parent
"""The folder of ``stable.json``, ``experimental.json`` and ``manifest.json``."""

SURFACES: Final = ("stable", "experimental")
"""What every client may use, and that together with what needs a capability."""

METHOD_UNIONS: Final = {
    "ClientNotification": "notifications of the client",
    "ClientRequest": "methods of the client",
    "ServerNotification": "notifications of the server",
    "ServerRequest": "requests of the server",
}
"""Definitions that are made from the registry, and what their arms are."""

ENVELOPE: Final = {
    "JSONRPCError": "ErrorResponse",
    "JSONRPCErrorError": "ErrorData",
    "JSONRPCMessage": "Message",
    "JSONRPCNotification": "Notification",
    "JSONRPCRequest": "Request",
    "JSONRPCResponse": "Response",
    "RequestId": "RequestId",
    "W3cTraceContext": "Trace",
}
"""Definitions that are made from ``rpc``, with the name they have there."""

ENVELOPE_FILES: Final = (
    *(f"{name}.json" for name in ENVELOPE if name != "W3cTraceContext"),
    "ClientNotification.json",
    "v1/InitializeParams.json",
    "v1/InitializeResponse.json",
)
"""What ``compare --only envelope`` looks at."""

WRITE_COMMAND: Final = "python -m app_server_protocol.schema write"
