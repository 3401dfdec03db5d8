"""The handshake: ``initialize``, its answer, ``initialized``.

1. The client sends ``initialize``. Anything before it is refused.
2. The server answers. Its version is found in the user agent only; there is no version of
   the protocol, and the server announces no capabilities.
3. The client sends ``initialized``, without params. Notifications of the server may arrive
   before that, so it is no barrier.

A failed ``initialize`` may be tried again on the same connection, a successful one may not.
Every connection has a handshake of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from .errors import MalformedMessageError, Rule
from .rpc import UNSET, Notification, Request, RequestId, Unset

__all__ = [
    "INITIALIZED",
    "Capabilities",
    "ClientInfo",
    "InitializeParams",
    "InitializeResponse",
]

INITIALIZED: Final = Notification("initialized")
"""What the client sends once its ``initialize`` is answered."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _to_wire(value: Any) -> dict[str, Any]:
    """Return the members that are set, in the order of the class."""
    pairs = ((_camel(part.name), getattr(value, part.name)) for part in fields(value))
    return {key: item for key, item in pairs if item is not UNSET}


def _text(wire: object, key: str, rule: Rule) -> str:
    value = wire.get(key) if isinstance(wire, Mapping) else None
    if not isinstance(value, str):
        raise MalformedMessageError(rule, f"initialize: {key} is missing or no string")
    return value


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_list_of_texts(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _is_object(value: object) -> bool:
    return value is None or isinstance(value, Mapping)


def _optional(wire: Mapping[str, Any], key: str, fits: Callable[[object], bool]) -> Any:
    """Return a member, or ``UNSET`` without one."""
    if key not in wire:
        return UNSET
    if not fits(wire[key]):
        raise MalformedMessageError("params", f"initialize: {key} is of the wrong type")
    return wire[key]


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Name and version of the client. The server puts both into its user agent."""

    name: str
    version: str
    title: str | Unset | None = UNSET

    @classmethod
    def from_wire(cls, wire: object) -> ClientInfo:
        """Return what a client said of itself.

        Raises:
            MalformedMessageError: Name or version are missing, or not texts: the server's own
                check.
        """
        name, version = _text(wire, "name", "params"), _text(wire, "version", "params")
        assert isinstance(wire, Mapping)  # noqa: S101  # or it would have had no name
        return cls(name, version, _optional(wire, "title", _is_text))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Abilities and wishes of a client. Everything that is not set is left out.

    Attributes:
        experimental_api: Allows what is marked experimental, see ``experimental``.
        request_attestation: The client answers ``attestation/generate``.
        opt_out_notification_methods: Notifications not to send: exact names, unknown ones
            are fine.
    """

    experimental_api: bool | Unset = UNSET
    request_attestation: bool | Unset = UNSET
    opt_out_notification_methods: Sequence[str] | Unset | None = UNSET
    extensions: Mapping[str, Any] | Unset | None = UNSET
    mcp_server_openai_form_elicitation: bool | Unset = UNSET
    explicit_gateway_oauth: bool | Unset = UNSET
    required_human_approval: bool | Unset = UNSET

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Capabilities:
        """Return the capabilities known here; a client may have others.

        Raises:
            MalformedMessageError: One is of the wrong type.
        """
        kinds = {"opt_out_notification_methods": _is_list_of_texts, "extensions": _is_object}
        known = {
            part.name: _optional(wire, _camel(part.name), kinds.get(part.name, _is_flag))
            for part in fields(cls)
        }
        return cls(**known)


@dataclass(frozen=True, slots=True)
class InitializeParams:
    """Params of ``initialize``, the first request of a client."""

    client_info: ClientInfo
    capabilities: Capabilities | Unset | None = UNSET

    def to_wire(self) -> dict[str, Any]:
        """Return the params as they are sent."""
        wire: dict[str, Any] = {"clientInfo": _to_wire(self.client_info)}
        if self.capabilities is None:
            wire["capabilities"] = None
        elif not isinstance(self.capabilities, Unset):
            wire["capabilities"] = _to_wire(self.capabilities)
        return wire

    def request(self, request_id: RequestId) -> Request:
        """Return the request that opens a connection."""
        return Request(request_id, "initialize", self.to_wire())

    @classmethod
    def from_wire(cls, wire: object) -> InitializeParams:
        """Return what a client sent, for a server.

        Raises:
            MalformedMessageError: The client did not say who it is, or a member is of the wrong
                type. The server refuses both.
        """
        if not isinstance(wire, Mapping):
            raise MalformedMessageError("params", "initialize: params are no object")
        given = _optional(wire, "capabilities", _is_object)
        return cls(
            ClientInfo.from_wire(wire.get("clientInfo")),
            Capabilities.from_wire(given) if isinstance(given, Mapping) else given,
        )


_USER_AGENT: Final = re.compile(r"(?P<name>[^/\s]*)/(?P<version>\S+)")


@dataclass(frozen=True, slots=True)
class InitializeResponse:
    """Result of ``initialize``.

    Attributes:
        user_agent: ``<client's name>/<server's version> (<system>) …``.
        codex_home: An absolute path on the server's machine.
        platform_family: Such as ``unix``.
        platform_os: Such as ``linux``.
    """

    user_agent: str
    codex_home: str
    platform_family: str
    platform_os: str

    @property
    def server_version(self) -> str | None:
        """The server's version, as far as its user agent tells it."""
        found = _USER_AGENT.match(self.user_agent)
        return found["version"] if found else None

    def to_wire(self) -> dict[str, Any]:
        """Return the result as it is sent."""
        return _to_wire(self)

    @classmethod
    def from_wire(cls, wire: object) -> InitializeResponse:
        """Return what a server answered; members that are not known here are ignored.

        Raises:
            MalformedMessageError: One that must be there is missing.
        """
        return cls(*(_text(wire, _camel(part.name), "result") for part in fields(cls)))
