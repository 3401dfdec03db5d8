"""What needs the ``experimentalApi`` capability, and why.

The server refuses three things of a client that did not ask for the capability: a whole
method, a field of otherwise stable params, an arm of a union. It names the first it finds:
``<descriptor> requires experimentalApi capability``. Here the same is known beforehand.

What the server *sends* is not filtered the same way: results hold experimental fields for
everybody. So this is about requests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ._overrides import UNION_GATES
from ._registry_data import GATES, UsedWhen
from .registry import CLIENT_METHODS
from .rpc import UNSET

__all__ = ["GATED_PLACES", "reason"]

GATED_PLACES: Final[Mapping[str, tuple[tuple[str, UsedWhen], ...]]] = MappingProxyType(dict(GATES))
"""Method to the gated places in its params, in the order in which the server looks."""

_ARMS: Final = {arm: f"{union[0].lower()}{union[1:]}.{arm}" for union, arm in UNION_GATES.items()}


def _is_used(value: object, when: UsedWhen) -> bool:
    """Whether the server takes a field for used.

    An optional field counts as soon as it is not null, even when it is empty; a list or map
    that is not optional counts when something is in it.
    """
    match when:
        case "true":
            return value is True
        case "not empty":
            return bool(value)
        case "not null":
            return value is not None and value is not UNSET
        case _:  # an arm of a union that wraps its content in one key
            return isinstance(value, Mapping) and when in value


def _at(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def reason(method: str, params: object = None) -> str | None:
    """Return what in a request needs the capability, in the server's words, or ``None``.

    ``None`` also for methods that are not known here: the server will say.

    Args:
        method: The method's name.
        params: The params as they would be sent; anything but an object uses no field.
    """
    known = CLIENT_METHODS.get(method)
    if known is not None and known.experimental:
        return method
    if isinstance(params, Mapping):
        for path, when in GATED_PLACES.get(method, ()):
            if _is_used(_at(params, path), when):
                return _ARMS.get(when, f"{method}.{path}")
    return None
