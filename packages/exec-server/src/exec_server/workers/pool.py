"""All workers of a server: who may use which, how many there are, when they end.

A worker serves requests of one session whose plan equals the one that it was launched with.
Between two requests it is idle and can be taken; idle workers end after a while, or as soon
as their place is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final

from exec_server_protocol.errors import InternalError, RpcError

from ..config import FileLimits
from ..errors import ServerError
from ..sandbox.errors import SandboxError
from ..sandbox.plan import Plan
from .launch import LaunchedWorker
from .worker import Worker

__all__ = ["Launcher", "Ticket", "WorkerPool"]

logger = logging.getLogger(__name__)

_SWEEP_SECONDS: Final = 0.5
"""How exactly times are kept. One timer for all workers: requests then cost none."""
_SWEEP_MARKED_SECONDS: Final = 0.1
"""The same while there are workers that shall not be idle for long."""
_EXIT_SECONDS: Final = 1.0
"""How long a worker that owes nothing may take to exit."""

Launcher = Callable[[], Coroutine[None, None, LaunchedWorker]]
"""Starts a worker with the plan of a request. Raises ``ServerError`` or ``RpcError``; then, and
when it is cancelled, nothing is left of the child but what has yet to be reaped."""


class Ticket:
    """A place in the queue for a worker.

    Args:
        owner: Session that it will belong to.
        plan: What it must have been launched with.
        launcher: Starts one.
        taken: Called with the worker.
        refused: Called instead, with the reason.
    """

    __slots__ = ("deadline", "done", "launcher", "owner", "plan", "refused", "taken")

    def __init__(
        self,
        owner: object,
        plan: Plan,
        launcher: Launcher,
        taken: Callable[[Worker], None],
        refused: Callable[[BaseException], None],
    ) -> None:
        self.owner = owner
        self.plan = plan
        self.launcher = launcher
        self.taken = taken
        self.refused = refused
        self.deadline = 0.0
        self.done = False

    def cancel(self) -> None:
        """Neither callback will be called any more."""
        self.done = True


class WorkerPool:
    """Workers of all sessions. All methods run on the event loop and none of them waits."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits = limits
        self._workers: set[Worker] = set()
        self._counts: Counter[object] = Counter()
        self._idle: dict[object, list[Worker]] = {}
        self._queue: deque[Ticket] = deque()
        self._starts: dict[asyncio.Task[Worker], Ticket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._workers)

    # ------------------------------------------------------------------ taking and giving

    def take_idle(self, owner: object, plan: Plan) -> Worker | None:
        """Return a worker that is there already, if there is one."""
        for worker in list(self._idle.get(owner, ())):
            if worker.plan is not plan and worker.plan != plan:
                continue
            if worker.is_intact() and worker.is_current():
                self.claim(worker)
                return worker
            if not worker.pins:  # what is open in it may be used until it is closed
                worker.kill()
                worker.close()
        return None

    def take(self, ticket: Ticket) -> None:
        """Get a worker: at once, or when there is a place for one."""
        self._queue.append(ticket)
        ticket.deadline = asyncio.get_running_loop().time() + self._limits.place_seconds
        self._serve_queue()
        self._schedule()

    def claim(self, worker: Worker) -> None:
        """Mark a worker as busy for a lane. One that another lane has is shared by both."""
        if worker.idle:
            worker.idle = False
            self._idle[worker.owner].remove(worker)

    def give_back(self, worker: Worker) -> None:
        """Make a worker idle. It owes nothing to the caller any more, or it has ended."""
        if not worker.usable or worker.idle:
            return
        if self._closed:
            worker.close()
            return
        worker.idle = True
        self._idle.setdefault(worker.owner, []).append(worker)
        if self._queue:
            self._serve_queue()

    def _serve_queue(self) -> None:
        waiting: deque[Ticket] = deque()
        queue, self._queue = self._queue, deque()
        while queue:
            ticket = queue.popleft()
            if not ticket.done and not self._serve(ticket):
                waiting.append(ticket)
        waiting.extend(self._queue)  # what came while callbacks ran
        self._queue = waiting

    def _serve(self, ticket: Ticket) -> bool:
        """Settle a ticket, or say that it has to wait."""
        if self._closed:
            return self._refuse(ticket, InternalError("the server is shutting down"))
        worker = self.take_idle(ticket.owner, ticket.plan)
        if worker is None:
            if self._counts[ticket.owner] >= self._limits.workers_per_session:
                return self._wait_for_own(ticket)
            if self._counts.total() >= self._limits.workers:
                self._end_longest_idle(worker for worker in self._workers if worker.idle)
                return False
            self._start(ticket)
            return True
        ticket.done = True
        ticket.taken(worker)
        return True

    @staticmethod
    def _refuse(ticket: Ticket, error: BaseException) -> bool:
        ticket.done = True
        ticket.refused(error)
        return True

    def _wait_for_own(self, ticket: Ticket) -> bool:
        mine = [worker for worker in self._workers if worker.owner is ticket.owner]
        if self._end_longest_idle(worker for worker in mine if worker.idle):
            return False
        if len(mine) < self._counts[ticket.owner] or any(
            not worker.usable or not worker.idle for worker in mine
        ):
            return False
        return self._refuse(
            ticket,
            InternalError(
                f"files are open in {len(mine)} sandboxes, which is the limit: close some first"
            ),
        )

    def _end_longest_idle(self, workers: Iterable[Worker]) -> bool:
        """End an idle worker, for the place that it takes. Returns whether there was one."""
        candidates = [worker for worker in workers if not worker.pins and not worker.busy]
        if not candidates:
            return False
        worker = min(candidates, key=lambda worker: worker.since)
        worker.kill()
        worker.close()
        return True

    # ------------------------------------------------------------------ starting

    def _start(self, ticket: Ticket) -> None:
        self._counts[ticket.owner] += 1
        self._empty.clear()
        task = asyncio.get_running_loop().create_task(self._launch(ticket))
        self._starts[task] = ticket
        task.add_done_callback(self._started)

    async def _launch(self, ticket: Ticket) -> Worker:
        async with asyncio.timeout(self._limits.start_seconds):
            launched = await ticket.launcher()
        worker = Worker(
            launched,
            ticket.owner,
            ticket.plan,
            on_closed=self._forget_idle,
            on_ended=self._ended,
        )
        self._workers.add(worker)
        return worker

    def _started(self, task: asyncio.Task[Worker]) -> None:
        ticket = self._starts.pop(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._leave_place(ticket.owner)
            if not ticket.done:
                self._refuse(ticket, _as_told(error))
            return
        worker = task.result()
        if ticket.done:
            self.give_back(worker)
        else:
            ticket.done = True
            ticket.taken(worker)
        self._schedule()

    def _forget_idle(self, worker: Worker) -> None:
        self.claim(worker)
        if not self._idle.get(worker.owner, True):
            del self._idle[worker.owner]

    def _ended(self, worker: Worker) -> None:
        # The child has been reaped. One that is stuck in the kernel keeps its place until then.
        self._workers.discard(worker)
        self._leave_place(worker.owner)

    def _leave_place(self, owner: object) -> None:
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
        if not self._counts:
            self._empty.set()
        self._serve_queue()

    # ------------------------------------------------------------------ times

    def _schedule(self) -> None:
        if self._timer is None and (self._workers or self._queue):
            marked = any(worker.leaves_marks for worker in self._workers)
            seconds = _SWEEP_MARKED_SECONDS if marked else _SWEEP_SECONDS
            self._timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for worker in list(self._workers):
            self._look_at(worker, now)
        for ticket in list(self._queue):
            if not ticket.done and now >= ticket.deadline:
                self._refuse(
                    ticket, InternalError("the server has as many file helpers as it may have")
                )
        self._queue = deque(ticket for ticket in self._queue if not ticket.done)
        self._schedule()

    def _look_at(self, worker: Worker, now: float) -> None:
        limits = self._limits
        quiet = now - worker.since
        if not worker.usable:
            if quiet > _EXIT_SECONDS:
                worker.kill()
        elif not worker.ready:
            if quiet > limits.start_seconds:
                worker.fail(f"the file helper was not ready within {limits.start_seconds:g} s")
        elif worker.busy:
            patience = limits.stalled_answer_seconds if worker.streaming else limits.quiet_seconds
            if quiet > patience and not worker.waiting_for_peer:
                worker.fail(f"the file system did not answer within {patience:g} s")
        elif worker.idle and not worker.pins:
            # What marks protected names lies on the disk for everybody to see.
            marked = worker.leaves_marks
            if quiet > (limits.idle_marked_seconds if marked else limits.idle_seconds):
                worker.close()

    # ------------------------------------------------------------------ end

    def drop(self, owner: object) -> None:
        """Kill every worker of a session that has ended."""
        for task, ticket in list(self._starts.items()):
            if ticket.owner is owner:
                task.cancel()
        for worker in [worker for worker in self._workers if worker.owner is owner]:
            worker.fail("the session has ended")

    async def close(self, timeout: float) -> None:
        """Kill every worker and wait until they are gone, or ``timeout`` seconds.

        Cancelling it leaves killed children to the reaper.
        """
        self._closed = True
        for task in list(self._starts):
            task.cancel()
        for worker in list(self._workers):
            worker.fail("the server is shutting down")
        self._serve_queue()
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("some file helpers did not end within %.1f s", timeout)
        if self._timer is not None:
            self._timer.cancel()


def _as_told(error: BaseException | None) -> BaseException:
    """Return the error that a client gets when a worker could not be started."""
    if isinstance(error, RpcError | SandboxError):
        return error
    if isinstance(error, TimeoutError):
        return InternalError("the file helper could not be started in time")
    if isinstance(error, ServerError):
        return InternalError(f"the file helper could not be started: {error}")
    if error is not None:
        logger.error("internal error while a file helper was started", exc_info=error)
    return InternalError("the file helper could not be started")
