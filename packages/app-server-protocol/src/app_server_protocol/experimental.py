"""Methods, fields and union arms that need the ``experimentalApi`` capability, with reasons.

The server refuses three things of a client that did not ask for the capability: a whole
method, a field of otherwise stable params, an arm of a union. It names the first it finds:
``<descriptor> requires experimentalApi capability``. Here the same is known beforehand.

What the server *sends* is not filtered the same way: results hold experimental fields for
everybody. So this is about requests only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ._registry_data import GATES, UsedWhen
from .registry import CLIENT_METHODS
from .rpc import UNSET

__all__ = ["GATED_PLACES", "GatedPlace", "UsedWhen", "reason"]


class GatedPlace(NamedTuple):
    """A place in a method's params that needs the capability when it is used.

    Attributes:
        path: Keys from the params down, joined by dots.
        when: When the server takes it for used. ``present``: it is there, even as null.
            ``not null``; ``not empty``; ``true``: as they say, and an empty list is not null.
            ``key``: an object with the key that the descriptor ends with. ``value``: the text
            that the descriptor ends with.
        descriptor: What the server calls it.
    """

    path: str
    when: UsedWhen
    descriptor: str

    @property
    def arm(self) -> str:
        """The name of the gated arm, where ``when`` is ``key`` or ``value``."""
        return self.descriptor.rpartition(".")[2]

    def is_used(self, params: Mapping[str, Any]) -> bool:
        """Whether the server takes this place in ``params`` for used."""
        value = _at(params, self.path)
        match self.when:
            case "present":
                return value is not UNSET
            case "not null":
                return value is not None and value is not UNSET
            case "not empty":
                return bool(value)
            case "true":
                return value is True
            case "key":
                return isinstance(value, Mapping) and self.arm in value
            case "value":
                return bool(value == self.arm)


def _by_method() -> dict[str, tuple[GatedPlace, ...]]:
    rows = itertools.groupby(GATES, key=lambda row: row[0])
    return {method: tuple(GatedPlace(*row[1:]) for row in group) for method, group in rows}


GATED_PLACES: Final[Mapping[str, tuple[GatedPlace, ...]]] = MappingProxyType(_by_method())
"""Method to the gated places in its params, in the order in which the server looks."""


def _at(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return UNSET
        value = value.get(key, UNSET)
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
        for place in GATED_PLACES.get(method, ()):
            if place.is_used(params):
                return place.descriptor
    return None
