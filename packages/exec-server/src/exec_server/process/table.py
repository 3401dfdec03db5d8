"""The processes of one session, by id.

An id is reserved before anything is spawned and stays taken until the process has been
closed for the time-to-live: a late reader still finds its output, and a second start can
never be mistaken for the first. When the table is full, closed processes give way before
their time; one of which anything still runs never does. Removal compares identity, so that
the clean-up of an old start cannot touch a newer process with the same id.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import TypeVar

from exec_server_protocol.errors import InvalidRequestError

from ..config import ServerConfig
from ..launching.launch import Launch
from ..launching.launch_threads import LaunchThreads
from ..launching.spawn import Child, SpawnRequest, spawn
from ..launching.tree_end import TreeEnd
from ..output.spool import Spool
from ..output.store import OutputStore
from ..runtime.peer import Sender
from ..telemetry.instruments import OFF_PROCESS, ObservedProcess
from ..telemetry.names import QUEUE_DURATION, SpanName
from .giving_way import GivingWay
from .output_stores import OutputStores
from .process import Process
from .session_trees import SessionTrees

__all__ = ["ProcessTable"]

T = TypeVar("T")


def _nobody() -> None:
    pass


def _may_go(process: Process) -> bool:
    """Whether nothing of a closed process runs: it may have left something in its group."""
    return not process.group_lives()


class ProcessTable:
    """Ids to processes, their starts and their end.

    Args:
        config: Retention, time-to-live and limits.
        pool: Threads that look at the file system before a start.
        spool: Disk space for output.
        trees: Ends what processes have started.
        on_quiet: Called whenever the last process that was not closed has closed.
    """

    def __init__(
        self,
        config: ServerConfig,
        pool: LaunchThreads,
        spool: Spool,
        trees: TreeEnd,
        on_quiet: Callable[[], None] = _nobody,
    ) -> None:
        self._config = config
        self._pool = pool
        self._stores = OutputStores(config, spool)
        self._trees = SessionTrees(trees)
        self._processes: dict[str, Process] = {}
        self._evictions: dict[Process, asyncio.TimerHandle] = {}
        self._closed_ones = GivingWay[Process]()
        self._on_quiet = on_quiet
        self._starts: set[asyncio.Task[None]] = set()
        self._unreaped: set[Process] = set()
        self._sender: Sender | None = None
        self._closed = False
        self._ended: list[OutputStore] = []
        self._quiet = asyncio.Event()
        self._quiet.set()

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def running(self) -> int:
        """Processes that have been started and not closed."""
        return len(self._unreaped)

    @property
    def retained_bytes(self) -> int:
        """Output that is kept in memory."""
        return sum(process.kept.in_memory for process in self._processes.values())

    @property
    def is_quiet(self) -> bool:
        """Whether every process has closed: nothing starts, runs, or can still be written."""
        return len(self._closed_ones) == len(self._processes)

    @property
    def all_arrived(self) -> bool:
        """Whether everything of the processes that have closed is known to have arrived."""
        return self._closed_ones.all_arrived

    def may_go(self) -> bool:
        """Whether nothing runs that any of the processes has started."""
        return self.is_quiet and all(map(_may_go, self._processes.values()))

    def __iter__(self) -> Iterator[Process]:
        return iter(self._processes.values())

    def get(self, process_id: str) -> Process | None:
        """Return the process with this id, if the session knows it."""
        return self._processes.get(process_id)

    def set_sender(self, sender: Sender | None, *, behind: bool = False) -> None:
        """Send the events of all processes to another peer, or to nobody; see ``Process``."""
        self._sender = sender
        for process in self._processes.values():
            process.set_sender(sender, behind=behind)

    def confirm_arrived(self) -> None:
        """The peer has more of what was sent to it than before."""
        for process in self._processes.values():
            process.confirm_arrived()
            if process.has_arrived:
                self._closed_ones.arrived(process)

    # ------------------------------------------------------------------ start

    def reserve(
        self,
        process_id: str,
        argv0: str,
        *,
        tty: bool,
        sandboxed: bool = False,
        output_policy: str = "drop-oldest",
        details: bool = False,
        observed: ObservedProcess = OFF_PROCESS,
    ) -> Process:
        """Take an id.

        Raises:
            InvalidRequestError: It is taken, or the session has too many processes of which
                something still runs.
        """
        if process_id in self._processes:
            raise InvalidRequestError(f"process {process_id} already exists")
        if len(self._processes) >= self._config.limits.processes_per_session:
            self._make_room()
        process = Process(
            process_id,
            argv0=argv0,
            tty=tty,
            sandboxed=sandboxed,
            details=details,
            store=self._stores.maker(output_policy),
            limits=self._config.limits,
            trees=self._trees.ending,
            on_closed=self._on_closed,
            on_exited=self._pool.release,
            instruments=self._config.instruments,
            observed=observed,
        )
        process.set_sender(self._sender)
        self._processes[process_id] = process
        return process

    def _make_room(self) -> None:
        oldest = self._closed_ones.pick(_may_go)
        if oldest is None:
            raise InvalidRequestError(
                f"the session has {len(self._processes)} processes that are running; that is "
                "the limit"
            )
        self._evictions[oldest].cancel()
        self._evict(oldest)

    async def start(self, process: Process, request: SpawnRequest) -> None:
        """Spawn the child of a reserved process, or free its id.

        Cancelling it before the child exists frees the id. Between the child's start and its
        registration it can be cancelled only while a sandbox is examined, and the child is
        then killed.

        Raises:
            SpawnError: It could not be started.
            SandboxError: It could not be confined.
            InvalidRequestError: It was terminated meanwhile, or the session is over.
        """
        instruments = self._config.instruments
        asked = instruments.clock()
        try:
            with instruments.span(SpanName.SPAWN, {"tty": request.tty}):
                launch = await self._prepare(request)
                instruments.record(QUEUE_DURATION, asked, "spawn")
                child = await self._spawn(process, request, launch)
        except BaseException:
            self._forget(process)
            process.start_failed()
            process.destroy()
            self._tell_if_quiet()
            raise
        self._unreaped.add(process)
        self._quiet.clear()
        process.started(child)
        if process.start_cancelled:  # too late for that: it has been let run meanwhile
            process.terminate()

    async def _prepare(self, request: SpawnRequest) -> Launch:
        if request.sandbox is None:
            return await self._pool.prepare(request)
        span = self._config.instruments.span(SpanName.PREPARE_SANDBOX, {"operation": "process"})
        with span:
            return await self._pool.prepare(request)

    async def _spawn(self, process: Process, request: SpawnRequest, launch: Launch) -> Child:
        try:
            self._check_wanted(process)
            child = spawn(request, launch, self._trees.next_mark())
        except BaseException:
            self._pool.release(launch)
            raise
        if launch.confined:
            await self._pool.admit(child)
            if self._closed:
                self._pool.abandon(child)
                self._check_wanted(process)
        return child

    def _check_wanted(self, process: Process) -> None:
        if process.start_cancelled or self._closed:
            raise InvalidRequestError(f"process {process.id} start was cancelled")

    def start_in_background(
        self, process: Process, request: SpawnRequest, result: Callable[[], T]
    ) -> asyncio.Future[T]:
        """Start a reserved process in a task of the session's own.

        Returns:
            A future of what ``result`` returns then. Cancelling it abandons the answer, not the
            start.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(done: asyncio.Task[None]) -> None:
            self._starts.discard(done)
            error = None if done.cancelled() else done.exception()
            if answer.done():
                return
            if done.cancelled():
                answer.cancel()
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result())

        task = loop.create_task(self.start(process, request))
        self._starts.add(task)
        task.add_done_callback(settle)
        return answer

    # ------------------------------------------------------------------ end

    def _on_closed(self, process: Process) -> None:
        self._unreaped.discard(process)
        if not self._unreaped:
            self._quiet.set()
        if self._closed:
            process.destroy()
            return
        self._keep_for_a_while(process)
        self._closed_ones.add(process, arrived=process.has_arrived)
        if self._sender is not None and len(self) * 2 > self._config.limits.processes_per_session:
            # Else commands that write little fill the table before it is known of any that its
            # end has arrived, and those would give way that the client still has to get.
            self._sender.ask_arrived()
        self._tell_if_quiet()

    def _tell_if_quiet(self) -> None:
        if self.is_quiet:
            self._on_quiet()

    def _keep_for_a_while(self, process: Process) -> None:
        self._evictions[process] = asyncio.get_running_loop().call_later(
            self._config.session_ttl, self._time_is_up, process
        )

    def _time_is_up(self, process: Process) -> None:
        # A client that catches up, or may come back for the rest, still has to get it. That
        # ends with the session.
        if process.is_caught_up_with or (self._sender is None and not process.has_arrived):
            self._keep_for_a_while(process)
        else:
            self._evict(process)

    def _evict(self, process: Process) -> None:
        self._evictions.pop(process, None)
        self._closed_ones.discard(process)
        self._forget(process)
        process.destroy()

    def _forget(self, process: Process) -> None:
        if self._processes.get(process.id) is process:
            del self._processes[process.id]

    def interrupt_all(self) -> None:
        """Ask every running process to end: SIGTERM to its group."""
        for process in self._processes.values():
            process.signal_group(signal.SIGTERM)

    def destroy(self) -> None:
        """Kill every process group and forget everything. The session is over."""
        self._closed = True
        self._on_quiet = _nobody
        for timer in self._evictions.values():
            timer.cancel()
        self._evictions.clear()
        processes = list(self._processes.values())
        self._processes.clear()
        self._closed_ones = GivingWay()
        # Not the processes: they refer to this table, and would stay with their output.
        self._ended = [process.kept for process in processes]
        for start in self._starts:
            start.cancel()
        for process in processes:
            process.destroy()
        self._trees.end([process.controls.leader for process in processes])

    async def wait_ended(self) -> None:
        """Wait until no child is left unreaped and no output is being written to disk.

        The caller sets the bound.
        """
        await self._quiet.wait()
        for kept in self._ended:
            await kept.wait_closed()
        self._ended.clear()
