"""The workers of a server, as its sessions see them: plans, programs, launches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from itertools import count
from typing import Final

from exec_server_protocol.errors import InvalidRequestError, RpcError
from exec_server_protocol.sandbox import (
    DisabledPermissions,
    ExternalPermissions,
    SandboxContext,
)

from ..config import FileLimits, ServerConfig
from ..sandbox.plan import Plan
from ..sandbox.rules import Confinement
from .launch import LaunchedWorker, launch
from .pool import Ticket, WorkerPool
from .program import find_helper, helper_environment
from .worker import Worker

__all__ = ["UNCONFINED", "FileWorkers", "SessionWorkers", "is_unconfined"]

UNCONFINED: Final = Plan(Confinement.NONE, "restricted")
"""The plan of requests that nothing confines."""


def is_unconfined(context: SandboxContext | None) -> bool:
    """Whether a context confines nothing, as can be told without a look at the disk."""
    return context is None or isinstance(
        context.permissions, DisabledPermissions | ExternalPermissions
    )


class FileWorkers:
    """Starts workers and knows all of them.

    Args:
        config: Program and limits.
        environ: Environment of the server.
    """

    def __init__(self, config: ServerConfig, environ: Mapping[str, str]) -> None:
        self.limits: FileLimits = config.files
        self.pool = WorkerPool(config.files)
        self._configured = config.fs_helper
        self._environ = environ
        self._command: tuple[str, ...] | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """Program and arguments of a worker; looked up once it is needed.

        Raises:
            InternalError: There is none.
        """
        if self._command is None:
            self._command = find_helper(self._configured, self._environ)
        return self._command

    async def launch(self, plan: Hashable) -> LaunchedWorker:
        """Start a worker.

        Raises:
            InternalError: There is no program.
            SpawnError: It could not be started.
        """
        if plan != UNCONFINED:
            raise InvalidRequestError("filesystem sandbox cannot be enforced on this executor")
        return launch(self.command, helper_environment(self._environ))

    async def close(self) -> None:
        """Kill every worker."""
        await self.pool.close(5.0)


class SessionWorkers:
    """The workers of one session."""

    def __init__(self, workers: FileWorkers) -> None:
        self.limits = workers.limits
        self.claim = workers.pool.claim
        self.give_back = workers.pool.give_back
        self._workers = workers
        self._numbers = count(1)

    def next_number(self) -> int:
        """Return a name for an open file that no other of the session has."""
        return next(self._numbers)

    def plan(self, context: SandboxContext | None) -> asyncio.Future[Hashable]:
        """Look at the disk and find out what a worker has to be launched with."""
        future: asyncio.Future[Hashable] = asyncio.get_running_loop().create_future()
        future.set_exception(
            InvalidRequestError("filesystem sandbox cannot be enforced on this executor")
        )
        return future

    def take_idle(self, plan: Hashable) -> Worker | None:
        """Return a worker that waits for something to do, if there is one."""
        return self._workers.pool.take_idle(self, plan)

    def take(
        self,
        plan: Hashable,
        taken: Callable[[Worker], None],
        refused: Callable[[RpcError], None],
    ) -> Ticket:
        """Get a worker; one of the callbacks is called, perhaps at once."""
        ticket = Ticket(self, plan, lambda: self._workers.launch(plan), taken, refused)
        self._workers.pool.take(ticket)
        return ticket

    def drop(self) -> None:
        """Kill them: the session has ended."""
        self._workers.pool.drop(self)
