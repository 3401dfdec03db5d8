"""A session, seen from the client: calls and events over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from exec_server_protocol._names import SessionId
from exec_server_protocol._plain import InitializeParams, InitializeResult
from exec_server_protocol.capabilities import CAPABILITY_CATCH_UP
from exec_server_protocol.methods import HTTP_REQUEST_BODY_DELTA, INITIALIZE, INITIALIZED
from exec_server_protocol.rpc import Notification

from ..connection.background import BackgroundTasks
from ..connection.generation import DISCONNECTED, Generation, GenerationLost
from ..connection.input_share import InputShare
from ..connection.persistence import Pauses, SameFailure
from ..connection.read_budget import ReadBudget
from ..connection.states import ClientEvent, ClientState, StateChange, advance
from ..connection.websocket import MessageSocket, open_websocket, redact
from ..errors import (
    BadAnswerError,
    ClientClosedError,
    ClientError,
    ConnectionBrokenError,
    HandshakeTimeoutError,
    SessionLostError,
    UnsupportedError,
)
from ..gaps import OnLoss
from ..options import ClientOptions
from ..process.events import EVENT_METHODS, parse_event
from ..process.followed_process import FollowedProcess
from ..process.process import Process
from ..recovery.catching_up import CatchingUp
from ..recovery.recovery import Resumed, recover
from ..telemetry.observing import Observer
from .bodies import Bodies
from .failed_parts import FailedParts
from .file_slots import HandleSlots
from .starts import Starts
from .state_watchers import StateWatchers

if TYPE_CHECKING:
    from exec_server_protocol._model import WireModel
    from exec_server_protocol._plain import EnvironmentInfo, ProcessStartParams
    from exec_server_protocol.path_uri import PathUri

__all__ = ["Session"]

logger = logging.getLogger(__name__)


class Session:
    """The connection of the moment, and its recovery: shared by a client and its processes.

    Only the loss of the current generation starts a recovery. Regions without an ``await``
    take the place of locks: each step below that must not be torn apart is one.

    Attributes:
        url: Where the executor is.
        options: Its settings.
        info: What the executor said about itself, without a model: for this package.
        read_budget: Output that waits to be read, over all processes.
        input_share: Input that waits for its answers, over all processes.
        starts: Starts in flight.
        background: Clean-ups that nobody waits for.
        failed_parts: What uploads that failed have to remove.
        file_slots: Room for open files.
        bodies: Streamed HTTP bodies.
        observer: Follows calls, connections and recoveries.
    """

    def __init__(
        self,
        url: str,
        options: ClientOptions,
        session_id: SessionId | None = None,
        dial: Callable[[str, ClientOptions], Awaitable[MessageSocket]] = open_websocket,
    ) -> None:
        self._dial = dial
        self.url = url
        self.options = options
        self.observer = Observer(url, options)
        self.read_budget = ReadBudget(options.max_buffered_bytes)
        self._state = ClientState.CONNECTED
        self._generation: Generation | None = None
        self._session_id = session_id
        self.info: EnvironmentInfo | None = None
        self._processes: dict[str, Process] = {}
        self.input_share = InputShare()
        self.starts = Starts(self)
        self.background = BackgroundTasks()
        self.failed_parts = FailedParts(self.background)
        self.file_slots = HandleSlots()
        self.bodies = Bodies(self.read_budget)
        self._watchers = StateWatchers(self.read_budget.home)
        self._pauses = Pauses(options.retry_delay)
        self._recovery: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._failure: SessionLostError | None = None

    def __repr__(self) -> str:
        return f"<Session {self._state.value} processes={len(self._processes)}>"

    async def connect(self, *, resume: bool) -> None:
        """Make the first connection; see ``open_generation``."""
        self.read_budget.home.check()
        generation = self._generation = await self.open_generation(resume=resume)
        if generation.lost:  # right after its last answer, when nobody was listening yet
            self._generation_lost(generation, DISCONNECTED)

    # ------------------------------------------------------------------ what it is

    @property
    def state(self) -> ClientState:
        """State of the client."""
        return self._state

    @property
    def session_id(self) -> str:
        """The session; who knows it can resume it."""
        return self._session_id or ""

    @property
    def cwd(self) -> PathUri | None:
        """The executor's own folder, if it says so."""
        return None if self.info is None else self.info.cwd

    def supports(self, capability: str) -> bool:
        """Return whether the executor announced a capability."""
        return self.info is not None and self.info.capabilities.get(capability) is True

    def require(self, capability: str, what: str) -> None:
        """Raise ``UnsupportedError`` unless the executor announced a capability."""
        if not self.supports(capability):
            raise UnsupportedError(f"{what}: this executor does not announce {capability}")

    def state_changes(self) -> AsyncIterator[StateChange]:
        """Return each change of ``state`` from this call on; ends with failed or closed."""
        return self._watchers.subscribe(ended=self._state.name in ("FAILED", "CLOSED"))

    # ------------------------------------------------------------------ calls

    async def call(
        self,
        method: str,
        params: WireModel | None = None,
        *,
        idempotent: bool = False,
        only: Generation | None = None,
        bind: Callable[[Generation], None] | None = None,
    ) -> Any:
        """Send a request of the protocol and return its result as it came.

        It waits while the client recovers.

        Args:
            method: Its name on the wire.
            params: Its params; ``None`` for none.
            idempotent: Send it again when the connection breaks before the answer.
            only: The one connection on which it means anything; its end is a
                ``GenerationLost`` then, and recovery is not waited for.
            bind: Told each connection that it is about to be sent on.

        Raises:
            RpcError: The executor refused.
            BadAnswerError: Its answer was no message, three times.
            ConnectionBrokenError: The answer was lost, and it was not to be repeated.
            SessionLostError: The client has failed for good.
            ClientClosedError: It was closed.
        """
        payload = None if params is None else params.to_json()
        failure = SameFailure()
        while True:
            generation = only or await self.live_generation()
            if bind is not None:
                bind(generation)
            try:
                return await generation.call(method, payload)
            except GenerationLost as error:
                if error.sent and not idempotent and only is None:
                    self._raise_if_closed(maybe_executed=True)
                    raise ConnectionBrokenError(
                        f"{error}: the answer to {method} was lost", maybe_executed=True
                    ) from error
                if error.fault is not None and failure.add(error.fault):
                    text = f"{error.fault}, each time that {method} was called"
                    raise BadAnswerError(text, maybe_executed=True) from error
                if not generation.lost:  # what arrived before the end is still being read
                    await generation.wait_ended()
                if only is not None:
                    raise

    async def live_generation(self) -> Generation:
        """Return the connection to use, once there is one.

        Raises:
            SessionLostError: There will be none.
            ClientClosedError: The client was closed.
        """
        self.read_budget.home.check()
        while True:
            self._raise_if_closed()
            self._raise_if_failed()
            generation = self._generation
            if self._state is ClientState.CONNECTED and generation and not generation.lost:
                return generation
            await self._watchers.wait_changed()

    def _raise_if_closed(self, *, maybe_executed: bool = False) -> None:
        if self._state is ClientState.CLOSED:
            raise ClientClosedError("the client was closed", maybe_executed=maybe_executed)

    def _raise_if_failed(self) -> None:
        if self._failure is not None:  # a new one: raising adds to its traceback
            raise type(self._failure)(str(self._failure)) from self._failure.__cause__

    # ------------------------------------------------------------------ generations

    async def open_generation(self, *, resume: bool) -> Generation:
        """Connect, initialize, and resume the session if ``resume`` says so.

        Raises:
            ConnectError: No connection, or no answer in time.
            RpcError: The executor refused.
            GenerationLost: The connection broke meanwhile.
            ValueError: The answer is malformed, or names another session.
        """
        with self.observer.connect(resume=resume):
            return await self._open_generation(resume=resume)

    async def _open_generation(self, *, resume: bool) -> Generation:
        generation = Generation(
            await self._dial(self.url, self.options),
            self.options,
            self._notified,
            self._generation_lost,
            self.read_budget,
            self.observer,
        )
        done = False
        try:
            async with asyncio.timeout(self.options.initialize_timeout):
                params = InitializeParams(
                    client_name=self.options.client_name,
                    resume_session_id=self._session_id if resume else None,
                    catch_up=True if resume and self.supports(CAPABILITY_CATCH_UP) else None,
                )
                answer = await generation.call(INITIALIZE.name, params.to_json())
                result = InitializeResult.model_validate(answer)
                if self._session_id not in (None, result.session_id):
                    raise ValueError(
                        f"exec-server initialized an unexpected session {result.session_id}"
                    )
                self._session_id = result.session_id
                self.info = self.info or result.environment_info
                await generation.notify(INITIALIZED.name, b"{}")
            done = True
        except TimeoutError as error:
            raise HandshakeTimeoutError(
                f"{redact(self.url)} did not answer initialize within "
                f"{self.options.initialize_timeout:g} s"
            ) from error
        finally:
            if not done:
                generation.abort()
                await generation.wait_ended()
        return generation

    def _notified(self, message: Notification) -> None:
        """Route an event. A malformed one of a known kind ends the connection, not the session."""
        if message.method == HTTP_REQUEST_BODY_DELTA.name:
            self.bodies.receive(message.params)
            return
        if message.method not in EVENT_METHODS:
            return
        process_id, event = parse_event(message.method, message.params)
        process = self._processes.get(process_id)
        # One that is being cleaned up keeps its id until that is done, whatever happens to it.
        if process is not None and not process.abandoned and process.receive(event):
            self.forget(process)

    def _generation_lost(self, generation: Generation, reason: str) -> None:
        self.bodies.connection_lost(generation, reason)
        if generation is not self._generation or self._state is not ClientState.CONNECTED:
            return  # an older one, or one that was never used
        self._change(ClientEvent.LOST, reason)
        if generation.stopped:  # the loop is about to end: nothing can be begun any more
            self._give_up(SessionLostError(f"{reason}: the client's tasks were cancelled"))
            return
        for process in self._processes.values():
            process.ordering.recovering = True  # live events will come before the missed ones
        loop = asyncio.get_running_loop()
        pause = self._pauses.lost(loop.time(), generation.messages)
        self._recovery = loop.create_task(self._recover(reason, pause), name="exec-client-recovery")

    async def _recover(self, reason: str, pause: float) -> None:
        try:
            if self._catching_up is not None:  # it publishes what it has got, and ends
                await asyncio.wait([self._catching_up])
            with self.observer.recovery() as observed:
                resumed = await recover(self, reason, pause)
                observed.recovered(resumed.attempts, resumed.recovered_bytes)
        except SessionLostError as error:
            self._give_up(error)
            return
        except Exception as error:  # a fault of ours: whoever waits must learn of it as well
            logger.exception("recovery failed")
            text = f"{reason}; failed to resume exec-server session: {type(error).__name__}"
            self._give_up(SessionLostError(text))
            return
        self._resumed(resumed)

    def _resumed(self, resumed: Resumed) -> None:
        self._generation = resumed.generation
        attempts, size = resumed.attempts, resumed.recovered_bytes
        logger.info("session resumed at attempt %d, %d bytes to recover", attempts, size)
        self._change(ClientEvent.RESUMED, "", size)
        loop = asyncio.get_running_loop()
        self._pauses.resumed(loop.time(), resumed.generation.messages)
        catching_up = CatchingUp(self, resumed.generation, resumed.missed)
        self._catching_up = loop.create_task(catching_up.run(), name="exec-client-catching-up")
        if resumed.generation.lost:  # it died between its last answer and this line
            self._generation_lost(resumed.generation, DISCONNECTED)

    def _give_up(self, error: SessionLostError) -> None:
        self._failure = error
        self._change(ClientEvent.GAVE_UP, str(error))
        self._fail_processes(str(error), error)

    def _fail_processes(self, message: str, error: ClientError) -> None:
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.fail(message, error)

    def _change(self, event: ClientEvent, reason: str, recovered: int = 0) -> None:
        old, self._state = self._state, advance(self._state, event)
        at = asyncio.get_running_loop().time()
        logger.info("%s -> %s: %s", old.value, self._state.value, reason or event.value)
        self._watchers.publish(StateChange(old, self._state, reason, at, recovered))
        self.read_budget.wake()

    # ------------------------------------------------------------------ for starts and recovery

    def make_process(self, params: ProcessStartParams, on_loss: OnLoss) -> Process:
        """Return the object of a process that is about to be started."""
        merged = params.merge_stderr is True
        return Process(
            self, params.process_id, params.argv, tty=params.tty, merged=merged, on_loss=on_loss
        )

    def route(self, process: Process) -> None:
        """Send the events of a process to its object.

        Raises:
            ClientError: The id is taken, also by a start that is still being cleaned up.
        """
        self._raise_if_failed()
        if process.process_id in self._processes:
            raise ClientError(f"session already registered for process {process.process_id}")
        self._processes[process.process_id] = process

    def forget(self, process: FollowedProcess) -> None:
        """Route no more events to a process; one that took over its id is left alone."""
        if self._processes.get(process.process_id) is process:
            del self._processes[process.process_id]

    def recoverable_processes(self) -> Iterable[Process]:
        """Return the processes that a recovery has to catch up with."""
        return [process for process in self._processes.values() if process.recoverable]

    async def wait_starts(self) -> None:
        """Wait until no start is in flight."""
        await self.starts.wait_settled()

    # ------------------------------------------------------------------ end

    async def aclose(self) -> None:
        """End the connection. The session and its processes end when the executor forgets them.

        Waiting calls raise ``ClientClosedError``. Repeating it does nothing.
        """
        self.read_budget.home.check()
        if self._state in (ClientState.CONNECTED, ClientState.RECOVERING):
            self._change(ClientEvent.CLOSE, "closed by the caller")
        # All of them, before anything is waited for: a cancelled close leaves nobody hanging.
        closed = ClientClosedError("the client was closed")
        self._fail_processes(str(closed), closed)
        self.bodies.fail_all(closed)
        for task in (self._recovery, self._catching_up):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self.starts.aclose()
        await self.background.aclose()
        if self._generation is not None:
            await self._generation.close()
