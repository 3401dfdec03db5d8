"""The workers of a server, as its sessions see them: plans, programs, launches."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from exec_server_protocol.errors import InternalError

from ..config import FileLimits, ServerConfig
from ..launching.launch_threads import LaunchThreads
from ..runtime.scratch import keep_freed_memory
from ..sandbox.bubblewrap import hold_bubblewrap
from ..sandbox.errors import SandboxUnavailableError
from ..sandbox.held import Held
from ..sandbox.plan import Plan
from ..sandbox.planning import NO_SANDBOX, plan_for_files
from ..sandbox.watched_plans import WatchedPlans
from ..telemetry.names import WORKER_LAUNCHES, SpanName
from .held_files import HeldFiles
from .launch import LaunchedWorker, launch
from .metric_kinds import launch_kind
from .pool import Ticket, WorkerPool
from .program import HelperProgram, describe_helper, helper_environment, hold_helper
from .worker import Worker

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["FileWorkers", "SessionWorkers", "is_unconfined"]

_LOOKS_AT_ONCE: Final = 2
"""Looks at the disk of one session that may be under way. A second one only begins when the
client of the first is gone: one that hangs takes a thread for good, and others need threads."""


def is_unconfined(context: SandboxContext | None) -> bool:
    """Whether a context confines nothing, as is known without a look at the disk."""
    return context is None or context.permissions.type == "disabled"


class FileWorkers:
    """Starts workers and knows all of them.

    Args:
        config: Program and limits.
        environ: Environment of the server.
    """

    def __init__(self, config: ServerConfig, environ: Mapping[str, str]) -> None:
        keep_freed_memory()
        self.limits: FileLimits = config.files
        self.instruments = config.instruments
        self.pool = WorkerPool(config.files)
        self.threads = LaunchThreads("files")
        self.plans = WatchedPlans()
        self.files = HeldFiles(config.files.held_files)
        self._configured = config.fs_helper
        self._environ = dict(environ)
        self._env = helper_environment(environ)
        self._tmpdir = os.fsencode(self._env["TMPDIR"]) if "TMPDIR" in self._env else None
        self._program: HelperProgram | None = None
        self._lock = threading.Lock()
        # Before anything that is confined can put others in their places. What is missing is
        # missed, and looked for again, when it is needed.
        with suppress(SandboxUnavailableError):
            hold_bubblewrap()
        self._helper: Held | None = None
        with suppress(InternalError):
            self._helper = hold_helper(self._configured, self._environ)

    def program(self) -> HelperProgram:
        """Return how to start a worker; looked up when it is first needed. May block.

        Raises:
            InternalError: There is no program.
        """
        with self._lock:
            if self._program is None:
                held = self._helper or hold_helper(self._configured, self._environ)
                self._program = describe_helper(held, self._environ)
            return self._program

    def plan(self, context: SandboxContext) -> Plan:
        """Look at the disk and return what a worker has to be launched with. Blocks.

        Raises:
            InternalError: There is no program.
            SandboxError: The policy cannot be enforced.
        """
        make = partial(
            plan_for_files, context, tmpdir=self._tmpdir, helper_files=self.program().files
        )
        return self.plans.look(context, lambda unchanged: make(unchanged=unchanged))

    async def launch(self, plan: Plan) -> LaunchedWorker:
        """Start a worker; see ``launch.launch``.

        Raises:
            InternalError: There is no program.
            SpawnError: It could not be started.
            SandboxError: It could not be confined.
        """
        program = self._program
        if program is None:
            program = await asyncio.wrap_future(self.threads.submit(self.program))
        self.instruments.count(WORKER_LAUNCHES, launch_kind(plan))
        return await launch(self.threads, plan, program, self._env)

    async def close(self) -> None:
        """Kill every worker, and clean up behind the confined ones."""
        self.plans.close()
        await self.pool.close(self.limits.exit_seconds)
        try:
            async with asyncio.timeout(self.limits.exit_seconds):
                await self.threads.wait_released()
        except TimeoutError:
            pass
        self.threads.close()


class SessionWorkers:
    """The workers of one session."""

    def __init__(self, workers: FileWorkers) -> None:
        self.limits = workers.limits
        self.instruments = workers.instruments
        self.files = workers.files
        self.claim = workers.pool.claim
        self.give_back = workers.pool.give_back
        self.take_idle = partial(workers.pool.take_idle, self)
        self._workers = workers
        self._numbers = count(1)
        self._looks: set[Future[Plan]] = set()

    def next_number(self) -> int:
        """Return a name for an open file that no other of the session has."""
        return next(self._numbers)

    def known_plan(self, context: SandboxContext | None) -> Plan | None:
        """Return the plan of a context if it is known without a look at the disk."""
        if context is None or is_unconfined(context):
            return NO_SANDBOX
        plan = self._workers.plans.known(context)
        if plan is not None:
            work = self.instruments.work(SpanName.PREPARE_SANDBOX, {"operation": "filesystem"})
            work.ended(failed=False)
        return plan

    def plan(self, context: SandboxContext) -> asyncio.Future[Plan]:
        """Look at the disk, in a thread; see ``FileWorkers.plan``.

        Cancelling it abandons the thread. The caller sets a bound.

        Raises:
            InternalError: Those before have not come back.
        """
        if len(self._looks) >= _LOOKS_AT_ONCE:
            raise InternalError("the file system of a sandbox policy does not answer")
        look = self._workers.threads.submit(partial(self._workers.plan, context), context)
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        future = asyncio.wrap_future(look)
        observed = self.instruments.work(SpanName.PREPARE_SANDBOX, {"operation": "filesystem"})
        future.add_done_callback(
            lambda done: observed.ended(failed=done.cancelled() or done.exception() is not None)
        )
        return future

    def take(
        self,
        plan: Plan,
        taken: Callable[[Worker], None],
        refused: Callable[[BaseException], None],
    ) -> Ticket:
        """Get a worker; one of the callbacks is called, perhaps at once."""
        ticket = Ticket(self, plan, lambda: self._workers.launch(plan), taken, refused)
        self._workers.pool.take(ticket)
        return ticket

    def drop(self) -> None:
        """Kill them: the session has ended."""
        self._workers.pool.drop(self)
