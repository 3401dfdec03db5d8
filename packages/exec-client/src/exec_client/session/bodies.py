"""Bodies of streamed HTTP responses, between the connection and their readers. No I/O.

A connection carries everything in one sequence, so a body that nobody reads must not be in
the way of everything else for ever:

* An executor that knows credit sends no more pieces than were asked for. Each taken piece
  makes room for another, and a body that nobody reads holds up its origin alone.
* From any other executor up to 256 pieces of one body, and 16 MiB of all, may wait. Then
  the connection is not read while nobody waits for anything else from it. If somebody does,
  and the body has not been read for ten seconds, it fails: its pieces so far can be read,
  then comes the error.

Bodies end with their connection: what has arrived can be read, then comes one error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from exec_server_protocol._plain import HttpBodyDeltaNotification, ShapeError

from ..connection.generation import Generation
from ..connection.read_budget import ABANDONED_SECONDS, ReadBudget
from ..errors import ClientError, ConnectionBrokenError, HttpBodyError

__all__ = ["MAX_WAITING_BYTES", "MAX_WAITING_PIECES", "Bodies", "Body"]

MAX_WAITING_PIECES: Final = 256
"""Of one body, without credit; the reference client holds as many."""
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of all bodies without credit: 256 pieces of 64 KiB."""
_CREDIT: Final = 64
"""Pieces that may be on their way or wait, of one body: 4 MiB, or 40 MB/s over 100 ms."""
_LEAST_CREDIT: Final = 4
"""The same when many bodies are open, so that all of them together stay bounded."""
_BODIES_WITH_FULL_CREDIT: Final = 4
_CROWDED: Final = 32
"""Waiting pieces above which the reader of the connection lets the reader of the body run."""


class Body:
    """One body: pieces wait in order, then its end or its error.

    Attributes:
        stop: Called when this side gives it up while the executor still sends; may be set.
        id: Its name on the wire.
        generation: The connection that it comes over, once the request is sent.
        read_at: Loop time when it was last read, or opened.
        size: Bytes that wait.
    """

    def __init__(self, bodies: Bodies, budget: ReadBudget, body_id: str) -> None:
        self._bodies = bodies
        self._budget = budget
        self._pieces: deque[bytes] = deque()
        self._next_seq = 1
        self._failure: ClientError | None = None
        self._news = asyncio.Event()
        self._grant: Callable[[int], None] | None = None
        self.stop: Callable[[], None] | None = None
        self._taken = 0
        self._credit = 0
        self.id = body_id
        self.generation: Generation | None = None
        self.read_at = asyncio.get_running_loop().time()
        self.size = 0
        self.ended = False

    def __repr__(self) -> str:
        state = "failed" if self._failure else "ended" if self.ended else "open"
        return f"<Body {self.id} {state} waiting={len(self._pieces)}>"

    @property
    def has_credit(self) -> bool:
        """Whether the executor sends only what was asked for."""
        return self._credit > 0

    @property
    def waiting(self) -> int:
        """Pieces that wait."""
        return len(self._pieces)

    def use_credit(self, credit: int, grant: Callable[[int], None]) -> None:
        """Let the executor send as the body is read.

        Args:
            credit: Pieces that it may send at first.
            grant: Called with the number of pieces that it may send beyond that.
        """
        self._credit, self._grant = credit, grant

    def bind(self, generation: Generation) -> None:
        """Say over which connection it comes: its end is the end of this body."""
        self.generation = generation

    # ------------------------------------------------------------------ from the connection

    def receive(self, delta: HttpBodyDeltaNotification) -> None:
        """Take a piece, or the end."""
        if delta.error is not None:  # before the number: the reason is worth more than it
            self.fail(HttpBodyError(f"the body of {self.id} is not complete: {delta.error}"))
        elif delta.seq != self._next_seq:
            text = f"the body of {self.id} has a gap: piece {delta.seq}, expected {self._next_seq}"
            self.give_up(HttpBodyError(text))
        else:
            self._next_seq += 1
            self.ended = delta.done
            if delta.delta_base64:
                self._pieces.append(delta.delta_base64)
                self.size += len(delta.delta_base64)
            self._news.set()
            if self.has_credit and len(self._pieces) > self._credit:
                self.give_up(HttpBodyError(f"more of the body of {self.id} came than asked for"))

    def fail(self, error: ClientError) -> None:
        """Let it end with an error behind what waits; the first one counts."""
        if not self.ended:
            self.ended, self._failure = True, error
            self._news.set()

    def give_up(self, error: ClientError) -> None:
        """Let it end with an error, and ask the executor to send no more of it."""
        if not self.ended:
            self.fail(error)
            if self.stop is not None:
                self.stop()

    def let_go(self) -> None:
        """Drop the callbacks, which refer to the request: it refers to this body."""
        self.stop = self._grant = None

    # ------------------------------------------------------------------ to the reader

    async def take(self) -> bytes | None:
        """Return the next piece; ``None`` at the end. Cancelling loses nothing.

        Raises:
            HttpBodyError: There is no more, and it is not complete.
            ConnectionBrokenError: Likewise, because the connection was lost.
            ClientClosedError: Likewise, because the client was closed.
        """
        while not self._pieces:
            if self._failure is not None:  # a new one: raising adds to its traceback
                raise type(self._failure)(str(self._failure), maybe_executed=True)
            if self.ended:
                return None
            self._news.clear()
            with self._budget.waiting():
                await self._news.wait()
        self.read_at = asyncio.get_running_loop().time()
        piece = self._pieces.popleft()
        self.size -= len(piece)
        self._bodies.taken(self, len(piece))
        self._taken += 1
        if self._grant is not None and not self.ended and self._taken * 2 >= self._credit:
            taken, self._taken = self._taken, 0
            self._grant(taken)
        return piece


class Bodies:
    """The bodies of a client.

    Args:
        budget: Of the client; it asks whether the connection may be read.
    """

    def __init__(self, budget: ReadBudget) -> None:
        self._budget = budget
        self._open: dict[str, Body] = {}
        self._last_id = 0
        self._waiting_bytes = 0
        self._at_limit: set[Body] = set()
        budget.add_queue(self)

    def __len__(self) -> int:
        return len(self._open)

    def new_id(self) -> str:
        """Return a name that no other request of this client has."""
        self._last_id += 1
        return f"http-{self._last_id}"

    def open(self) -> Body:
        """Expect a body: its pieces may come before the answer to its request."""
        body = Body(self, self._budget, self.new_id())
        self._open[body.id] = body
        return body

    def fair_credit(self) -> int:
        """Return how many pieces of one more body may wait."""
        return max(_LEAST_CREDIT, _CREDIT // (1 + len(self._open) // _BODIES_WITH_FULL_CREDIT))

    def close(self, body: Body) -> None:
        """Expect nothing more of a body; what still comes is ignored."""
        if self._open.pop(body.id, None) is not None and not body.has_credit:
            self._waiting_bytes -= body.size
            self._at_limit.discard(body)
            self._budget.wake()

    def receive(self, params: object) -> None:
        """Take a piece of whatever body.

        Raises:
            ValueError: It does not have the shape that it should.
        """
        try:
            delta = HttpBodyDeltaNotification.model_validate(params)
        except ShapeError as error:
            raise ValueError("http/request/bodyDelta of the wrong shape") from error
        body = self._open.get(delta.request_id)
        if body is None:
            return  # nobody is interested any more
        before = body.size
        body.receive(delta)
        if not body.has_credit:
            self._waiting_bytes += body.size - before
            if body.waiting >= MAX_WAITING_PIECES:
                self._at_limit.add(body)
        if body.waiting > _CROWDED:
            self._budget.request_yield()
        if body.ended:
            self.close(body)

    def taken(self, body: Body, size: int) -> None:
        """Count bytes as read."""
        if body.id in self._open and not body.has_credit:
            was_full = self.full
            self._waiting_bytes -= size
            self._at_limit.discard(body)
            if was_full and not self.full:
                self._budget.wake()

    def connection_lost(self, generation: Generation, reason: str) -> None:
        """Fail the bodies that come over a connection which is over."""
        for body in [body for body in self._open.values() if body.generation is generation]:
            self._fail(body, ConnectionBrokenError(reason, maybe_executed=True))

    def fail_all(self, error: ClientError) -> None:
        """Fail every body."""
        for body in list(self._open.values()):
            self._fail(body, error)

    def _fail(self, body: Body, error: ClientError) -> None:
        self.close(body)
        body.fail(error)

    # ------------------------------------------------------------------ for the budget

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken from the connection, if it can be helped."""
        return self._waiting_bytes >= MAX_WAITING_BYTES or bool(self._at_limit)

    def drop_unread(self) -> bool:
        """Fail bodies that fill the queue and are not read. Returns whether there is room."""
        abandoned_before = asyncio.get_running_loop().time() - ABANDONED_SECONDS
        while self.full:
            candidates = [
                body
                for body in self._open.values()
                if not body.has_credit and body.waiting and body.read_at <= abandoned_before
            ]
            if not candidates:
                return False
            body = max(candidates, key=lambda body: (body in self._at_limit, body.size))
            text = f"the body of {body.id} was not read in time: {body.waiting} pieces wait"
            self.close(body)
            body.give_up(HttpBodyError(text))
        return True
