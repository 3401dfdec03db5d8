"""Budget for the bytes of unhandled messages, shared by all connections of a server. Pure.

One message may take 64 MiB until its last byte is there, and thousands of connections may
send one. When together they hold too much, large ones stop being read, all but a *preferred*
one: that one can finish, and make room for the next. Messages that are finished and wait to be
handled count as well; to be handled they need no reading, so they are never what others wait for.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["Gate", "InboundBudget"]

_ALWAYS_FREE_BYTES: Final = 256 * 1024
"""A connection that holds less is never held up: what one read from a socket brings, so that
ordinary requests pass while large ones queue."""


class Gate(Protocol):
    """Interface of a connection's read gate for the budget."""

    def pause(self) -> None:
        """Stop reading: the budget is used up."""

    def resume(self) -> None:
        """Read again: there is room."""

    def preferred(self) -> None:
        """Note that this connection's message is the one that others wait for."""


class InboundBudget:
    """Shares a number of bytes between connections.

    Args:
        limit: Bytes; exceeded by what one read brings for each connection, at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Gate, int] = {}
        self._unfinished: set[Gate] = set()
        self._waiting: dict[Gate, None] = {}
        self._preferred: Gate | None = None
        self.total = 0

    def update(self, gate: Gate, unfinished: int, waiting: int = 0) -> None:
        """Note how many bytes a connection holds now.

        Args:
            gate: The connection.
            unfinished: Of a message whose end has not come.
            waiting: Of messages that wait to be handled.
        """
        held = unfinished + waiting
        before = self._held.pop(gate, 0)
        self._unfinished.discard(gate)
        if held:
            self._held[gate] = held
        if unfinished:
            self._unfinished.add(gate)
        elif gate is self._preferred:
            self._preferred = None
        self.total += held - before
        if held <= _ALWAYS_FREE_BYTES:
            self._release(gate)
        elif self.total > self._limit and gate is not self._preferred:
            self._queue(gate)
        if self._waiting:
            self._admit()

    def _release(self, gate: Gate) -> None:
        """Take a connection off the queue, and end its preference."""
        if gate is self._preferred:
            self._preferred = None
        if gate in self._waiting:
            del self._waiting[gate]
            gate.resume()

    def _queue(self, gate: Gate) -> None:
        if gate in self._waiting:
            return
        if self._preferred is None and gate in self._unfinished:
            self._prefer(gate)
        else:
            self._waiting[gate] = None
            gate.pause()

    def _prefer(self, gate: Gate) -> None:
        self._preferred = gate
        gate.preferred()

    def _admit(self) -> None:
        """Resume all gates while there is room, else one whose message can finish."""
        while self._waiting:
            gate = next(iter(self._waiting))
            if self.total > self._limit:
                if self._preferred is not None:
                    return
                candidates = (other for other in self._waiting if other in self._unfinished)
                preferred = next(candidates, None)
                if preferred is None:
                    return
                gate = preferred
                self._prefer(gate)
            del self._waiting[gate]
            gate.resume()

    def is_held_up_by(self, gate: Gate) -> bool:
        """Whether other connections wait for the message of this one."""
        return gate is self._preferred and bool(self._waiting)

    def is_preferred(self, gate: Gate) -> bool:
        """Whether this connection is the one whose message may exceed the budget."""
        return gate is self._preferred
