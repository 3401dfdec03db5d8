"""Error of a failed request: the text that a client gets, and the kind that metrics count."""

from __future__ import annotations

from typing import Final, Literal

from exec_server_protocol.errors import InternalError

__all__ = ["FailureKind", "RequestFailedError"]

FailureKind = Literal[
    "cancelled",
    "connect",
    "limit",
    "network",
    "protocol",
    "proxy",
    "redirect",
    "timeout",
    "tls",
]
"""What kind of thing went wrong:

``cancelled``  the client said so
``connect``    the name does not resolve, or nobody is there
``limit``      the executor holds as much as it may
``network``    an established connection broke
``protocol``   what came is not HTTP, or ends too early
``proxy``      the proxy refuses, or is none
``redirect``   too many, or to where no request can go
``timeout``    ``timeoutMs`` is over
``tls``        the certificate or the handshake is not accepted
"""

_PREFIX: Final = "http/request failed: "


class RequestFailedError(InternalError):
    """No response, or not all of it (-32603). ``data`` has the kind, for programs.

    The text goes to the client that made the request and names at most a host: never a path,
    a query, a header or a body.

    Attributes:
        kind: See ``FailureKind``.
        reason: The text without what every such text begins with.
    """

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(f"{_PREFIX}{reason}", data={"kind": kind})
        self.kind: FailureKind = kind
        self.reason = reason
