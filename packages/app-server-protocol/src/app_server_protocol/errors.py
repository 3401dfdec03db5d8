"""Exceptions of this package. Standard library only.

::

    ProtocolError
    ├─ MalformedMessageError    the peer's text is no message; .rule says which rule it broke
    ├─ OutboundError            we were about to send something the peer would misread or refuse
    │   ├─ UnknownMethodError        .method
    │   ├─ InvalidParamsError        .method, .problems
    │   └─ ExperimentalApiError      .method, .descriptor
    └─ ToolError                a command line tool could not do its work (exit status 2)

Nothing here is raised for a message that is merely newer than this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = [
    "ExperimentalApiError",
    "InvalidParamsError",
    "MalformedMessageError",
    "OutboundError",
    "ProtocolError",
    "Rule",
    "ToolError",
    "UnknownMethodError",
]

Rule = Literal[
    "utf-8",
    "json",
    "surrogate",
    "depth",
    "object",
    "id",
    "method",
    "trace",
    "error",
    "shape",
    "params",
    "result",
]
"""What text has to obey: as JSON, as an envelope, and for the payloads of the handshake."""


class ProtocolError(Exception):
    """Base of everything this package raises on purpose."""


class MalformedMessageError(ProtocolError):
    """Text that is no message.

    Attributes:
        rule: The rule it broke.
    """

    def __init__(self, rule: Rule, reason: str) -> None:
        super().__init__(reason)
        self.rule: Rule = rule


class OutboundError(ProtocolError):
    """A request of ours that must not be sent as it is: a bug on our side.

    Attributes:
        method: The method it names.
    """

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(reason)
        self.method = method


class UnknownMethodError(OutboundError):
    """The method is in no table of this package."""

    def __init__(self, method: str) -> None:
        super().__init__(method, f"unknown method {method!r}")


class InvalidParamsError(OutboundError):
    """The params do not fit the method's type.

    Attributes:
        problems: One line each, naming the place; values are not quoted.
    """

    def __init__(self, method: str, problems: Sequence[str]) -> None:
        super().__init__(method, f"{method}: {'; '.join(problems)}")
        self.problems = tuple(problems)


class ExperimentalApiError(OutboundError):
    """The request needs a capability that was not asked for when connecting.

    Attributes:
        descriptor: What needs it, in the server's words, such as ``thread/start.environments``.
    """

    def __init__(self, method: str, descriptor: str) -> None:
        super().__init__(method, f"{descriptor} requires experimentalApi capability")
        self.descriptor = descriptor


class ToolError(ProtocolError):
    """A tool could not run; the text is for the person at the terminal."""
