"""Typed calls: a request by its row in the method table, with the params of that row."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from exec_server_protocol._model import WireModel
    from exec_server_protocol.methods import Method

    from .generation import Generation

__all__ = ["Caller", "P", "request"]

P = TypeVar("P", bound="WireModel")


class Caller(Protocol):
    """A session, as calls see it."""

    def supports(self, capability: str) -> bool:
        """Return whether the executor announced a capability."""

    def require(self, capability: str, what: str) -> None:
        """Raise ``UnsupportedError`` unless the executor announced a capability."""

    def call(
        self,
        method: str,
        params: WireModel | None = None,
        *,
        idempotent: bool = False,
        only: Generation | None = None,
        bind: Callable[[Generation], None] | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Call a method; see ``Session.call``."""


def request(
    session: Caller,
    method: Method[P, Any],
    params: P | None = None,
    *,
    idempotent: bool | None = None,
    only: Generation | None = None,
    bind: Callable[[Generation], None] | None = None,
) -> Coroutine[Any, Any, Any]:
    """Return the call of a method: ``Session.call``, to be awaited.

    Args:
        session: Where it goes.
        method: Its row. What announces the method is asked for here, so that nothing is sent
            to an executor that does not know it.
        params: Its params; ``None`` for none.
        idempotent: Whether to send it again after a lost answer; ``None`` for what its row says.
            Some calls know better than their method: removing what has a name of its own.
        only: As for ``Session.call``.
        bind: As for ``Session.call``.

    Raises:
        UnsupportedError: The executor does not announce the method.
    """
    if method.capability is not None:
        session.require(method.capability, method.name)
    repeat = method.repeatable if idempotent is None else idempotent
    return session.call(method.name, params, idempotent=repeat, only=only, bind=bind)
