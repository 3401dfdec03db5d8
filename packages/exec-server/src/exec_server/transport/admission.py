"""The way of a connection from an accepted socket to a client that has introduced itself.

A socket waits in the waiting room until it is known who it is: until its token was found
right, or, where no token is asked for, until ``initialize``. So connections of strangers
never take the places of clients. Whoever was let in has a time limit for ``initialize``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

from ..access.authorization import Denial, Owner
from ..access.gate import Gate
from ..config import Limits
from .refusals import RefusalLog
from .upgrade import Refusal
from .waiting_room import Place, WaitingRoom, source_of

__all__ = ["Admission", "Visitor"]

_POLICY_VIOLATION = 1008
"""RFC 6455: the peer broke a rule that is not about frames."""


class Visitor(Protocol):
    """A connection, seen from the door."""

    @property
    def peer_address(self) -> str:
        """IP address of the peer, empty when it is unknown."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and end the connection."""

    def abort(self) -> None:
        """Drop the socket, whatever is still unsent."""


V = TypeVar("V", bound=Visitor)
Sink = TypeVar("Sink")


@dataclass(slots=True)
class _Visit:
    """State of one connection on its way in."""

    place: Place
    owner: Owner | None = None
    is_client: bool = False
    deadline: asyncio.TimerHandle | None = None


class Admission(Generic[V, Sink]):
    """Lets connections in, one step after the other. All methods run on the event loop.

    Args:
        limits: How many, and for how long.
        gate: Who may come in.
        accept: Makes what takes the messages of a connection that was let in, and of whom.
        room: Where strangers wait.
    """

    def __init__(
        self, limits: Limits, gate: Gate, accept: Callable[[V, Owner], Sink], room: WaitingRoom
    ) -> None:
        self._limits = limits
        self._gate = gate
        self._accept = accept
        self._room = room
        self._visits: dict[V, _Visit] = {}
        self._clients = 0
        self._refusals = RefusalLog()
        self._nobody = asyncio.Event()
        self._nobody.set()

    @property
    def connections(self) -> list[V]:
        """Everybody who is here, let in or not."""
        return list(self._visits)

    @property
    def upgraded_connections(self) -> int:
        """Number of connections that were let in."""
        return sum(visit.deadline is not None for visit in self._visits.values())

    async def wait_empty(self) -> None:
        """Wait until all connections have ended. The caller accepts no more and closes these."""
        await self._nobody.wait()

    def arrived(self, visitor: V) -> None:
        """A socket was accepted. Somebody else may lose theirs for it."""
        place = self._room.enter(source_of(visitor.peer_address), visitor.abort)
        self._visits[visitor] = _Visit(place)
        self._nobody.clear()

    def examine(self, visitor: V, authorization: Sequence[str]) -> Refusal | None:
        """Return the answer to a request for an upgrade that is not granted.

        Args:
            visitor: Whose request it is.
            authorization: The request's ``Authorization`` headers.
        """
        owner = self._gate.examine(authorization)
        if isinstance(owner, Denial):
            self._refusals.note(owner.value)
            return Refusal(HTTPStatus.UNAUTHORIZED, f"{owner.value}\n")
        if self._clients >= self._limits.connections:
            text = "the server has as many connections as it may have"
            self._refusals.note(text)
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{text}\n")
        self._visits[visitor].owner = owner
        return None

    def turned_away(self, reason: str) -> None:
        """A connection ended before there was a request that could be refused.

        Args:
            reason: One of a closed set: it goes into the log.
        """
        self._refusals.note(reason)

    def upgraded(self, visitor: V) -> Sink:
        """Return what takes the messages of a connection that was let in."""
        owner = self._visits[visitor].owner
        if owner is None:  # fail closed: nobody gets sessions of an owner that nobody has found
            raise RuntimeError("a connection was upgraded without having been examined")
        if self._gate.authenticates:
            self._count_in(visitor)
        loop = asyncio.get_running_loop()
        self._visits[visitor].deadline = loop.call_later(
            self._limits.initialize_seconds, self._too_late, visitor
        )
        return self._accept(visitor, owner)

    def initialized(self, visitor: V) -> None:
        """A connection got its session: it is a client's, if it was not before."""
        visit = self._visits[visitor]
        if visit.deadline is not None:
            visit.deadline.cancel()
        self._count_in(visitor)

    def gone(self, visitor: V) -> None:
        """A socket is closed."""
        visit = self._visits.pop(visitor)
        visit.place.leave()
        if visit.deadline is not None:
            visit.deadline.cancel()
        if visit.is_client:
            self._clients -= 1
        if not self._visits:
            self._nobody.set()

    def _count_in(self, visitor: V) -> None:
        visit = self._visits[visitor]
        if not visit.is_client:
            visit.is_client = True
            visit.place.leave()
            self._clients += 1

    def _too_late(self, visitor: V) -> None:
        seconds = self._limits.initialize_seconds
        self._refusals.note("no initialize in time")
        visitor.close(_POLICY_VIOLATION, f"no initialize within {seconds:g} s")
