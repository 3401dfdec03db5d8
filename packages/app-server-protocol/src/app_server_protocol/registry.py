"""Table of the methods, with the types of their params and results.

::

    >>> from app_server_protocol.registry import CLIENT_METHODS, SERVER_NOTIFICATIONS
    >>> CLIENT_METHODS["thread/start"].params, CLIENT_METHODS["thread/start"].result
    ('ThreadStartParams', 'ThreadStartResponse')

Types are given by name, so that looking a method up does not import the types; ``type_named``
turns a name into the type. ``python -m app_server_protocol.registry census`` counts, and with
a binary compares the counts with what that binary knows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from . import _overrides as overrides
from . import _registry_data as data
from ._registry_data import WIRE_REVISION, ParamsRule

__all__ = [
    "CLIENT_METHODS",
    "CLIENT_NOTIFICATIONS",
    "SERVER_NOTIFICATIONS",
    "SERVER_REQUESTS",
    "WIRE_REVISION",
    "Method",
    "MethodKind",
    "ParamsRule",
    "type_named",
]

MethodKind: TypeAlias = Literal[
    "client request", "client notification", "server request", "server notification"
]


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the registry.

    Attributes:
        name: The method as it is on the wire.
        kind: Who sends it, and whether it is answered.
        params: Name of the params type; ``None`` if it has none.
        params_rule: ``required``: they must be sent, even when empty. ``nullable``: they may
            be absent or null. ``none``: they must be absent or null.
        result: Name of the result type; ``None`` for a notification.
        experimental: It needs the ``experimentalApi`` capability.
        legacy: It belongs to the first API; its types are in ``legacy_v1``.
    """

    name: str
    kind: MethodKind
    params: str | None
    params_rule: ParamsRule
    result: str | None = None
    experimental: bool = False
    legacy: bool = False


def _table(methods: Iterable[Method]) -> Mapping[str, Method]:
    return MappingProxyType({method.name: method for method in methods})


CLIENT_METHODS: Final = _table(
    [
        *(
            Method(name, "client request", params, rule, result, experimental)
            for name, params, rule, result, experimental in data.CLIENT_METHODS
        ),
        *(
            Method(name, "client request", params, "required", result, legacy=True)
            for name, (params, result) in overrides.LEGACY_METHODS.items()
        ),
    ]
)
"""What a client can call."""

CLIENT_NOTIFICATIONS: Final = _table(
    Method(name, "client notification", None, "none") for (name,) in data.CLIENT_NOTIFICATIONS
)
"""What a client announces."""

SERVER_REQUESTS: Final = _table(
    Method(name, "server request", params, "required", result, experimental)
    for name, params, result, experimental in data.SERVER_REQUESTS
)
"""What the server asks of a client. Each must be answered, or a turn waits for ever."""

SERVER_NOTIFICATIONS: Final = _table(
    Method(
        name,
        "server notification",
        params,
        "required",
        experimental=name in overrides.EXPERIMENTAL_NOTIFICATIONS,
    )
    for name, params in sorted(
        [*data.SERVER_NOTIFICATIONS, *overrides.TYPESCRIPT_ONLY_NOTIFICATIONS.items()]
    )
)
"""What the server announces. ``experimental`` is known for few of them: no export tells."""


def type_named(name: str) -> Any:
    """Return a type of ``types`` or ``legacy_v1`` by its name. The first call imports them.

    Raises:
        KeyError: There is none of that name.
    """
    from . import legacy_v1, types

    for module in (types, legacy_v1):
        if name in module.__all__:
            return getattr(module, name)
    raise KeyError(name)


if __name__ == "__main__":
    from ._census import main

    sys.exit(main())
