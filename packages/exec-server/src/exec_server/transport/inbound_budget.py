"""Budget for the bytes of unhandled messages, shared by all connections of a server. Pure.

One message may take 64 MiB until its last byte is there, and thousands of connections may
send one. When together they hold too much, large ones stop being read, all but one: that
one can finish, and make room for the next. Messages that are finished and wait to be handled
count as well; to be handled they need no reading, so they are never what others wait for.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["InboundBudget", "Inflow"]

_ALWAYS_FREE_BYTES: Final = 256 * 1024
"""A connection that holds less is never held up: what one read from a socket brings, so that
ordinary requests pass while large ones queue."""


class Inflow(Protocol):
    """A connection, as far as it takes bytes."""

    def hold_inflow(self) -> None:
        """Take nothing more from the socket."""

    def let_inflow(self) -> None:
        """Take from the socket again."""

    def favoured(self) -> None:
        """Others wait for this one's message: it had better come."""


class InboundBudget:
    """Shares a number of bytes between connections.

    Args:
        limit: Bytes; exceeded by what one read brings for each connection, at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Inflow, int] = {}
        self._unfinished: set[Inflow] = set()
        self._waiting: dict[Inflow, None] = {}
        self._favourite: Inflow | None = None
        self.total = 0

    def update(self, inflow: Inflow, unfinished: int, waiting: int = 0) -> None:
        """Note how many bytes a connection holds now.

        Args:
            inflow: The connection.
            unfinished: Of a message whose end has not come.
            waiting: Of messages that wait to be handled.
        """
        held = unfinished + waiting
        before = self._held.pop(inflow, 0)
        self._unfinished.discard(inflow)
        if held:
            self._held[inflow] = held
        if unfinished:
            self._unfinished.add(inflow)
        elif inflow is self._favourite:
            self._favourite = None
        self.total += held - before
        if held <= _ALWAYS_FREE_BYTES:
            self._release(inflow)
        elif self.total > self._limit and inflow is not self._favourite:
            self._queue(inflow)
        if self._waiting:
            self._admit()

    def _release(self, inflow: Inflow) -> None:
        """Forget that a connection waits or is waited for."""
        if inflow is self._favourite:
            self._favourite = None
        if inflow in self._waiting:
            del self._waiting[inflow]
            inflow.let_inflow()

    def _queue(self, inflow: Inflow) -> None:
        if inflow in self._waiting:
            return
        if self._favourite is None and inflow in self._unfinished:
            self._favour(inflow)
        else:
            self._waiting[inflow] = None
            inflow.hold_inflow()

    def _favour(self, inflow: Inflow) -> None:
        self._favourite = inflow
        inflow.favoured()

    def _admit(self) -> None:
        """Let go on who can: everybody while there is room, else one that can finish."""
        while self._waiting:
            inflow = next(iter(self._waiting))
            if self.total > self._limit:
                if self._favourite is not None:
                    return
                candidates = (other for other in self._waiting if other in self._unfinished)
                favoured = next(candidates, None)
                if favoured is None:
                    return
                inflow = favoured
                self._favour(inflow)
            del self._waiting[inflow]
            inflow.let_inflow()

    def is_held_up_by(self, inflow: Inflow) -> bool:
        """Whether others wait for the message of this one."""
        return inflow is self._favourite and bool(self._waiting)

    def is_favourite(self, inflow: Inflow) -> bool:
        """Whether others would wait for the message of this one."""
        return inflow is self._favourite
