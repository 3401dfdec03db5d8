"""The file requests of one connection, in their order.

They are carried out one after the other. Those that the same worker may serve are sent to it
ahead of time; a request that needs another worker, or a look at its sandbox policy, waits
until all before it have been answered. So a file system that hangs holds up the later file
requests of its connection, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from exec_server_protocol.errors import InternalError, RpcError
from exec_server_protocol.helper import HelperError

from ..sandbox.plan import Plan
from ..sandbox.planning import NO_SANDBOX
from ..telemetry import names
from ..workers.metric_kinds import launch_kind, was_denied
from ..workers.worker import Worker
from ..workers.workers import SessionWorkers, is_unconfined
from .handles import Handle, HandleTable, check_handle_id
from .request import Answer, FileRequest

__all__ = ["FileLane"]

_OPEN: Final = "fs/open"
_CLOSE: Final = "fs/close"
_READ: Final = "fs/readBlock"
_OF_A_HANDLE: Final = frozenset({_READ, "fs/writeBlock", _CLOSE})


class _Unheard:
    """A call that nobody waits for: closes a file of a connection that is gone."""

    take_file = None
    needs_sandbox = False

    def check(self, text: bytes, *, last: bool) -> None:
        """Nothing of it is passed on."""

    def encode(self, data: bytes, *, last: bool) -> bytes:
        """Nothing of it is passed on."""
        return b""

    def part(self, text: bytes) -> None:
        """Ignore it."""

    def result(self, text: bytes) -> None:
        """Ignore it."""

    def error(self, error: HelperError) -> None:
        """Ignore it."""

    def lost(self, reason: str, *, begun: bool) -> None:
        """The file is closed all the same."""


_UNHEARD: Final = _Unheard()


def _cancel_both(future: asyncio.Future[Plan], timer: asyncio.TimerHandle) -> None:
    future.cancel()
    timer.cancel()


class FileLane:
    """Takes the file requests of one connection.

    Args:
        workers: Those of the session.
    """

    def __init__(self, workers: SessionWorkers) -> None:
        self._workers = workers
        self._limits = workers.limits
        self._handles = HandleTable(workers.limits.handles_per_connection)
        self._queue: deque[FileRequest] = deque()
        self._preparing: FileRequest | None = None
        self._cancel_preparing: Callable[[], object] | None = None
        self._running: deque[FileRequest] = deque()
        self._worker: Worker | None = None
        self._going = False
        self._waits_for_peer = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<FileLane queued={len(self._queue)} running={len(self._running)}>"

    def submit(self, request: FileRequest, answer: Answer) -> None:
        """Take a request; its answer may go out before this returns."""
        if self._closed:
            return
        request.prepare(self, answer)
        if self._is_free and self._begin_at_once(request):
            return
        self._queue.append(request)
        self._go_on()

    def _begin_at_once(self, request: FileRequest) -> bool:
        """Do what nearly always happens, without a detour; returns whether it does."""
        if request.handle_id is not None:
            return request.op == _READ and self._read_here(request)
        plan = self._workers.known_plan(request.sandbox)
        if plan is not None:
            self._take(request, plan)
        return plan is not None

    def _read_here(self, request: FileRequest) -> bool:
        handle = self._handles.find(request.handle_id or "")
        return (
            handle is not None
            and handle.file is not None
            and handle.worker.usable
            and request.read_from(handle.file)
        )

    @property
    def _is_free(self) -> bool:
        return not (self._running or self._queue or self._preparing)

    # ------------------------------------------------------------------ what comes next

    def _go_on(self) -> None:
        if self._going or self._waits_for_peer:
            return
        self._going = True
        try:
            while self._queue and self._preparing is None and self._may_begin(self._queue[0]):
                request = self._queue.popleft()
                if request.must_wait(self._peer_has_room):
                    self._queue.appendleft(request)
                    self._waits_for_peer = True
                    break
                try:
                    self._begin(request)
                except RpcError as error:
                    request.fail(error)
        finally:
            self._going = False

    def _peer_has_room(self) -> None:
        self._waits_for_peer = False
        self._go_on()

    def _may_begin(self, request: FileRequest) -> bool:
        """Whether it can be sent while those before it have not been answered."""
        if not self._running:
            return True
        worker = self._worker
        if worker is None or not worker.usable or len(self._running) >= self._limits.requests_ahead:
            return False
        if request.op in _OF_A_HANDLE:
            handle = self._handles.find(request.handle_id or "")
            return handle is None or handle.worker is worker
        # A plan is that of the moment: what is running may change what the next one comes to.
        return worker.plan is NO_SANDBOX and is_unconfined(request.sandbox)

    def _begin(self, request: FileRequest) -> None:
        handle_id = request.handle_id
        if handle_id is None:
            self._prepare(request)
            return
        check_handle_id(handle_id)
        if request.op == _OPEN:
            self._handles.check_free(handle_id)
            self._prepare(request)
            return
        if request.op == _CLOSE:
            handle = self._handles.remove(handle_id)
            if handle is None or not handle.worker.usable:
                request.result(b"{}")
                return
        else:
            handle = self._handles.get(handle_id)
        self._run(request, handle.worker, handle)

    def _prepare(self, request: FileRequest) -> None:
        """Find out what the request needs, and get it."""
        if self._running and self._worker is not None:
            self._run(request, self._worker)  # it may begin, so it needs nothing else
            return
        plan = self._workers.known_plan(request.sandbox)
        if plan is not None:
            self._take(request, plan)
        elif request.sandbox is not None:
            future = self._workers.plan(request.sandbox)
            self._preparing = request
            timer = asyncio.get_running_loop().call_later(
                self._limits.plan_seconds, self._look_timed_out, request, future
            )
            self._cancel_preparing = partial(_cancel_both, future, timer)
            future.add_done_callback(partial(self._planned, request, timer))

    def _planned(
        self, request: FileRequest, timer: asyncio.TimerHandle, future: asyncio.Future[Plan]
    ) -> None:
        timer.cancel()
        if self._preparing is not request or future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._preparing = None
            self._take(request, future.result())
            self._go_on()
        else:
            self._refused(request, error)

    def _look_timed_out(self, request: FileRequest, future: asyncio.Future[Plan]) -> None:
        future.cancel()
        self._refused(
            request, InternalError("the file system of the sandbox policy does not answer")
        )

    def _take(self, request: FileRequest, plan: Plan) -> None:
        worker = self._workers.take_idle(plan)
        if worker is not None:
            self._run(request, worker)
            return
        self._preparing = request
        ticket = self._workers.take(
            plan, partial(self._taken, request), partial(self._refused, request)
        )
        self._cancel_preparing = ticket.cancel

    def _taken(self, request: FileRequest, worker: Worker) -> None:
        self._preparing = self._cancel_preparing = None
        self._run(request, worker)
        self._go_on()

    def _refused(self, request: FileRequest, error: BaseException) -> None:
        self._preparing = self._cancel_preparing = None
        request.fail(error)

    def _run(self, request: FileRequest, worker: Worker, handle: Handle | None = None) -> None:
        if request.op == _OPEN and request.handle_id is not None:
            handle = Handle(self._workers.next_number(), worker, writes=request.writes)
            self._handles.add(request.handle_id, handle)
            if not request.writes and self._workers.files.has_room:
                request.take_file = partial(self._take_file, request.handle_id, handle)
        if self._worker is not worker:
            if worker.idle:
                self._workers.claim(worker)
            self._worker = worker
        self._running.append(request)
        request.observed.set("reused", worker.served)
        if worker.served:
            self._workers.instruments.count(names.WORKER_REUSES, launch_kind(worker.plan))
        request.run(worker, None if handle is None else handle.number)

    def _take_file(self, handle_id: str, handle: Handle, descriptor: int) -> None:
        """Hold the file that the worker has opened, unless it is closed already."""
        if self._handles.find(handle_id) is handle:
            handle.file = self._workers.files.hold(descriptor)
        else:
            os.close(descriptor)

    # ------------------------------------------------------------------ requests call

    def settled(self, request: FileRequest, error: BaseException | None) -> None:
        """Note that a request has ended; its answer goes out next."""
        if self._running and self._running[0] is request:
            self._running.popleft()
        elif request in self._running:
            self._running.remove(request)
        else:
            return
        if request.worker is not None and was_denied(request.worker.plan, error):
            self._workers.instruments.count(names.SANDBOX_DENIALS, "filesystem")
        if error is None or request.handle_id is None:
            return
        handle = self._handles.find(request.handle_id)
        if request.op == _OPEN or (
            # The worker has closed it. A file that is written to stays open.
            request.op == _READ and handle and handle.worker.usable and not handle.writes
        ):
            self._handles.remove(request.handle_id)

    def unstarted(self, request: FileRequest) -> None:
        """Put a request back to the front: its worker ended before it began."""
        self._running.remove(request)
        if request.op == _OPEN and request.handle_id is not None:
            self._handles.remove(request.handle_id)
        self._queue.appendleft(request)

    def proceed(self) -> None:
        """Go on, an answer having gone out."""
        if self._queue:
            self._go_on()
        if not self._running and self._worker is not None:
            worker, self._worker = self._worker, None
            self._workers.give_back(worker)

    # ------------------------------------------------------------------ end

    def close(self) -> None:
        """Drop all requests and handles: the client is gone.

        What has not begun does not happen. What has may go on for the grace time, so that
        writing a file does not break off for nothing; then its worker is killed.
        """
        self._closed = True
        if self._preparing is not None:
            self._queue.append(self._preparing)
        for request in self._queue:
            request.drop_answer()
        self._queue.clear()
        if self._cancel_preparing is not None:
            self._cancel_preparing()
        self._preparing = self._cancel_preparing = None
        for request in self._running:
            request.drop_answer()
        for handle in self._handles.remove_all():
            if handle.worker.usable:
                handle.worker.call(_UNHEARD, _CLOSE, b'{"handleId":"%d"}' % handle.number)
        if self._running and self._worker is not None:
            asyncio.get_running_loop().call_later(
                self._limits.grace_seconds, self._give_up, self._worker
            )

    def _give_up(self, worker: Worker) -> None:
        if self._running and self._worker is worker:
            worker.fail("the client is gone")
