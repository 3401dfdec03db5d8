"""All sessions of a server: create, resume, detach, expire.

When there are as many as there may be, a detached one gives way before its time, unless
something of it runs.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from heapq import nlargest
from typing import Final

from exec_server_protocol.errors import InvalidRequestError, SessionAlreadyAttachedError

from ..access.authorization import Owner
from ..config import ServerConfig
from ..launching.launch_threads import LaunchThreads
from ..launching.tree_end import TreeEnd
from ..output.spool import Spool
from ..process.giving_way import GivingWay
from ..runtime.peer import Sender
from ..telemetry import names
from ..telemetry.instruments import Gauges
from .attachment import AttachmentState
from .session import Session

__all__ = ["SessionRegistry"]

logger = logging.getLogger(__name__)

_OWNERS_LOOKED_AT: Final = 4
"""Beside the one who asks, for one newcomer: of each, a few sessions are looked at."""


class SessionRegistry:
    """Sessions by id. All methods run on the event loop and none of them waits."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._instruments = config.instruments
        self._pool = LaunchThreads()
        self._trees = TreeEnd()
        self._spool = Spool(config.spool_max_bytes, config.spool_dir)
        self._sessions: dict[str, Session] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # Detached, and all that they started has closed; no owner without any.
        self._left: dict[Owner, GivingWay[Session]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, sender: Sender, owner: Owner) -> Session:
        """Create a session of ``owner``, attached to ``sender``.

        Raises:
            InvalidRequestError: The server holds as many as it may, each of them attached or
                with something that runs.
        """
        limit = self._config.limits.sessions
        if len(self._sessions) >= limit:
            oldest = self._pick(owner)
            if oldest is None:
                raise InvalidRequestError(f"the server holds {limit} sessions; that is the limit")
            self._expire(oldest)
        session = Session(
            str(uuid.uuid4()),
            owner,
            self._config,
            self._pool,
            self._spool,
            self._trees,
            self._quiet,
        )
        self._sessions[session.id] = session
        session.attach(sender)
        self._instruments.count(names.SESSION_EVENTS, "opened")
        return session

    def resume(
        self, session_id: str, sender: Sender, owner: Owner, *, behind: bool = False
    ) -> Session:
        """Attach ``sender`` to a detached session of ``owner``.

        Args:
            session_id: What the client presents.
            sender: The way to it.
            owner: Who it is.
            behind: It gets no event of a process before it has caught up with it.

        Raises:
            InvalidRequestError: Unknown, expired, or of another owner, which look the same from
                outside.
            SessionAlreadyAttachedError: Another connection has it. Nobody can take it over.
        """
        session = self._find(session_id, owner)
        now = asyncio.get_running_loop().time()
        if session is not None and session.attachment.has_expired(now):
            self._expire(session)
            session = None
        if session is None:
            raise InvalidRequestError(f"unknown session id {session_id}")
        if session.attachment.state is AttachmentState.ATTACHED:
            raise SessionAlreadyAttachedError(
                f"session {session_id} is already attached to another connection"
            )
        self._timers.pop(session_id).cancel()
        self._keep_place(session)
        session.attach(sender, behind=behind)
        self._instruments.count(names.SESSION_EVENTS, "resumed")
        return session

    def _find(self, session_id: str, owner: Owner) -> Session | None:
        """Return a session by its id: the one way to it that a client has.

        One of another owner does not exist, whatever its state: nothing may tell that it does.
        """
        session = self._sessions.get(session_id)
        return session if session is not None and session.owner == owner else None

    def detach(self, session: Session, sender: Sender) -> None:
        """Detach a connection. The session is kept for its time-to-live."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.session_ttl
        if session.detach(sender, deadline):
            self._instruments.count(names.SESSION_EVENTS, "detached")
            self._timers[session.id] = loop.call_at(deadline, self._time_is_up, session)
            if session.processes.is_quiet:
                self._quiet(session)

    def _quiet(self, session: Session) -> None:
        """All processes of a session have closed: it can give way while it is detached."""
        if session.attachment.state is AttachmentState.DETACHED:
            line = self._left.setdefault(session.owner, GivingWay())
            line.add(session, arrived=session.processes.all_arrived)

    def _keep_place(self, session: Session) -> None:
        """Take a session off the list of those that give way: it is attached again, or over."""
        line = self._left.get(session.owner)
        if line is not None:
            line.discard(session)
            if not len(line):
                del self._left[session.owner]

    def _pick(self, owner: Owner) -> Session | None:
        """Return the session that gives way to one more of ``owner``."""
        # Its own first, then one of an owner who has most: who opens many pushes out their own.
        own = self._left.get(owner)
        lines = nlargest(_OWNERS_LOOKED_AT, self._left.values(), key=len)
        for line in lines if own is None else [own, *lines]:
            session = line.pick(lambda session: session.processes.may_go())
            if session is not None:
                return session
        return None

    def _time_is_up(self, session: Session) -> None:
        """Expire a session at its deadline, unless the server stood still over it."""
        loop = asyncio.get_running_loop()
        if session.attachment.stood_still(loop.time()):
            deadline = loop.time() + self._config.session_ttl
            session.attachment.postpone(deadline)
            self._timers[session.id] = loop.call_at(deadline, self._time_is_up, session)
        else:
            self._expire(session)

    def _expire(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        timer = self._timers.pop(session.id, None)
        if timer is not None:
            timer.cancel()
        self._keep_place(session)
        session.expire()
        self._instruments.count(names.SESSION_EVENTS, "expired")
        logger.info("session expired")

    def gauges(self) -> Gauges:
        """Return how much there is, for the metrics."""
        sessions = self._sessions.values()
        attached = sum(s.attachment.state is AttachmentState.ATTACHED for s in sessions)
        return {
            names.SESSIONS_ACTIVE: {
                ("attached",): attached,
                ("detached",): len(sessions) - attached,
            },
            names.PROCESSES_ACTIVE: {(): sum(s.processes.running for s in sessions)},
            names.RETAINED_OUTPUT: {(): sum(s.processes.retained_bytes for s in sessions)},
            names.SPOOLED_OUTPUT: {(): self._spool.budget.used},
        }

    async def close(self, *, drain: float, kill_timeout: float = 5.0) -> None:
        """End every session.

        Args:
            drain: Seconds to wait for processes that got SIGTERM before they are killed; 0
                kills at once.
            kill_timeout: Seconds to wait for killed processes. SIGKILL takes effect at once
                except on a process that is stuck in the kernel.
        """
        sessions = list(self._sessions.values())
        if drain > 0:
            for session in sessions:
                session.processes.interrupt_all()
            await self._wait(sessions, drain)
        for session in sessions:
            self._expire(session)
        await self._wait(sessions, kill_timeout)
        self._pool.close()
        self._trees.close()
        self._spool.close()

    async def _wait(self, sessions: list[Session], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                for session in sessions:
                    await session.processes.wait_ended()
                await self._pool.wait_released()
                await self._trees.wait()
        except TimeoutError:
            logger.warning("some processes did not end within %.1f s", timeout)
