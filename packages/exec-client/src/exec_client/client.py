"""The client: one session over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

from exec_server_protocol._model import WireModel
from exec_server_protocol._scalars import ProcessId, SessionId
from exec_server_protocol.errors import RpcError
from exec_server_protocol.handshake import (
    EnvironmentInfo,
    EnvironmentInfoParams,
    InitializeParams,
    InitializeResult,
)
from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.process import (
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_LIST,
    CAPABILITY_OUTPUT_POLICY,
    CAPABILITY_RESIZE,
    EnvironmentPolicy,
    OutputPolicy,
    ProcessInfo,
    ProcessListResult,
    ProcessStartParams,
)
from exec_server_protocol.rpc import Notification

from .connection.generation import Generation, GenerationLost
from .connection.states import ClientEvent, ClientState, StateChange, advance
from .connection.websocket import open_websocket, redact
from .errors import (
    ClientClosedError,
    ClientError,
    ConnectionBrokenError,
    HandshakeRejectedError,
    HandshakeTimeoutError,
    ProcessFailedError,
    SessionLostError,
    TimeoutExpired,
    UnsupportedError,
)
from .events import parse_event
from .options import ClientOptions
from .output import ReadBudget
from .process import CompletedProcess, Process
from .recovery.recovery import Resumed, recover
from .starts import Starts
from .watching import StateWatchers

if TYPE_CHECKING:
    from typing import Self

    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Client", "ClientState", "StateChange", "connect"]

logger = logging.getLogger(__name__)

_KILL_SECONDS = 2.0
"""For the last output of a command that was killed: something that escaped from its group
may hold its pipes for as long as it likes."""

InheritEnv = Literal["core", "all", "none"] | EnvironmentPolicy


class connect:
    """Connect to an executor: ``async with connect(url) as client`` or ``await connect(url)``.

    Args:
        url: ``ws://`` or ``wss://``.
        options: Settings; ``None`` for the defaults.
        session_id: A detached session to attach to; ``None`` opens a new one. Processes that
            it has already are not followed.

    Raises:
        ConnectError: From entering or awaiting it: nobody is there, or the peer refuses or
            speaks something else. One attempt is made.
    """

    def __init__(
        self, url: str, *, options: ClientOptions | None = None, session_id: str | None = None
    ) -> None:
        self._url = url
        self._session_id = session_id
        self._options = options or ClientOptions()
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return Client.open(self._url, self._options, self._session_id).__await__()

    async def __aenter__(self) -> Client:
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.aclose()


class Client:
    """One session of an executor. Made by ``connect``.

    A lost connection is resumed: calls wait meanwhile, processes and their streams go on. A
    call whose answer was lost raises ``ConnectionBrokenError``, unless repeating it changes
    nothing on the executor. When the session cannot be resumed, every call raises the same
    ``SessionLostError``.

    Cancelling any call is safe: nothing is left behind, and a process whose start was
    cancelled is ended.

    Attributes:
        url: Where the executor is.
        options: Its settings.
        read_budget: Output that waits to be read, over all processes.
    """

    def __init__(self, url: str, options: ClientOptions) -> None:
        self.url = url
        self.options = options
        self.read_budget = ReadBudget(options.max_buffered_bytes)
        self._state = ClientState.CONNECTED
        self._generation: Generation | None = None
        self._session_id: SessionId | None = None
        self._info: EnvironmentInfo | None = None
        self._processes: dict[str, Process] = {}
        self._starts = Starts(self)
        self._watchers = StateWatchers()
        self._recovery: asyncio.Task[None] | None = None
        self._failure: SessionLostError | None = None

    def __repr__(self) -> str:
        return f"<Client {self._state.value} processes={len(self._processes)}>"

    @classmethod
    async def open(cls, url: str, options: ClientOptions, session_id: str | None = None) -> Client:
        """Connect and initialize, once; see ``connect``."""
        client = cls(url, options)
        if session_id is not None:
            client._session_id = SessionId(session_id)
        try:
            client._generation = await client.open_generation(resume=session_id is not None)
        except RpcError as error:
            raise HandshakeRejectedError(
                f"{redact(url)} refused the session: {error.message}"
            ) from error
        except GenerationLost as error:
            raise HandshakeRejectedError(
                f"{redact(url)} ended the connection during the handshake"
            ) from error
        except ValueError as error:
            raise HandshakeRejectedError(
                f"{redact(url)} does not speak the exec-server protocol"
            ) from error
        if client._info is None:
            client._info = await client.info()
        return client

    # ------------------------------------------------------------------ what it is

    @property
    def state(self) -> ClientState:
        """How the client is."""
        return self._state

    @property
    def session_id(self) -> str:
        """The session; who knows it can resume it."""
        return self._session_id or ""

    @property
    def environment_info(self) -> EnvironmentInfo:
        """What the executor said about itself when the connection was made."""
        return cast("EnvironmentInfo", self._info)

    def supports(self, capability: str) -> bool:
        """Return whether the executor announced a capability."""
        return self._info is not None and self._info.supports(capability)

    def require(self, capability: str, what: str) -> None:
        """Raise unless the executor announced a capability.

        Raises:
            UnsupportedError: It did not.
        """
        if not self.supports(capability):
            raise UnsupportedError(f"{what}: this executor does not announce {capability}")

    def state_changes(self) -> AsyncIterator[StateChange]:
        """Return each change of ``state`` from this call on; ends with failed or closed."""
        return self._watchers.subscribe(ended=self._state.name in ("FAILED", "CLOSED"))

    # ------------------------------------------------------------------ calls

    async def call(
        self, method: str, params: WireModel | None = None, *, idempotent: bool = False
    ) -> Any:
        """Send a request of the protocol and return its result as it came.

        It waits while the client recovers.

        Args:
            method: Its name on the wire.
            params: Its params; ``None`` for none.
            idempotent: Send it again when the connection breaks before the answer.

        Raises:
            RpcError: The executor refused.
            ConnectionBrokenError: The answer was lost, and it was not to be repeated.
            SessionLostError: The client has failed for good.
            ClientClosedError: It was closed.
        """
        payload = None if params is None else params.to_json()
        while True:
            generation = await self.live_generation()
            self.read_budget.wake()  # the reader may have stopped for want of readers
            try:
                return await generation.call(method, payload)
            except GenerationLost as error:
                if error.sent and not idempotent:
                    self._raise_if_closed(maybe_executed=True)
                    raise ConnectionBrokenError(
                        f"{error}: the answer to {method} was lost", maybe_executed=True
                    ) from error
                # The reader may not have reported the loss yet; then there is nothing to wait
                # for, and asking again at once would spin.
                if generation is self._generation and self._state is ClientState.CONNECTED:
                    await asyncio.sleep(0)

    async def live_generation(self) -> Generation:
        """Return the connection to use, once there is one.

        Raises:
            SessionLostError: There will be none.
            ClientClosedError: The client was closed.
        """
        while True:
            self._raise_if_closed()
            if self._failure is not None:
                raise type(self._failure)(str(self._failure)) from self._failure.__cause__
            generation = self._generation
            if self._state is ClientState.CONNECTED and generation and not generation.lost:
                return generation
            await self._watchers.wait_changed()

    def _raise_if_closed(self, *, maybe_executed: bool = False) -> None:
        if self._state is ClientState.CLOSED:
            raise ClientClosedError("the client was closed", maybe_executed=maybe_executed)

    async def info(self) -> EnvironmentInfo:
        """Return what the executor says about itself now."""
        result = await self.call("environment/info", EnvironmentInfoParams(), idempotent=True)
        return EnvironmentInfo.model_validate(result)

    async def status(self) -> str:
        """Return whether the executor takes requests: ``ready``."""
        result = await self.call("environment/status", idempotent=True)
        return str(result.get("status", "")) if isinstance(result, dict) else ""

    async def list_processes(self) -> list[ProcessInfo]:
        """Return the processes of the session, finished ones that are still readable included.

        Raises:
            UnsupportedError: The executor cannot list them.
        """
        self.require(CAPABILITY_LIST, "list_processes")
        result = await self.call("process/list", idempotent=True)
        return ProcessListResult.model_validate(result).processes

    # ------------------------------------------------------------------ processes

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | PathUri | None = None,
        env: Mapping[str, str] | None = None,
        inherit_env: InheritEnv = "core",
        tty: bool = False,
        stdin: bool = False,
        arg0: str | None = None,
        rows: int | None = None,
        cols: int | None = None,
        output_policy: OutputPolicy | None = None,
        process_id: str | None = None,
        sandbox: SandboxContext | None = None,
    ) -> Process:
        """Start a process.

        Args:
            argv: Program and arguments.
            cwd: Absolute path on the executor; ``None`` for the executor's own.
            env: Variables, laid over what is inherited.
            inherit_env: What to take of the executor's environment: ``core`` for PATH, HOME,
                language and the like, ``all``, ``none``, or a policy.
            tty: A terminal instead of pipes; its output is ``stdout``.
            stdin: Connect stdin to ``write``; otherwise it is empty. A terminal always is.
            arg0: What the program sees as ``argv[0]``.
            rows: Height of the terminal.
            cols: Width of the terminal.
            output_policy: What happens to output while nobody is connected and all that may
                be kept is kept: ``drop-oldest``, or ``back-pressure`` to make the process wait.
            process_id: Its name in the session; ``None`` for a new one.
            sandbox: What it may do.

        Raises:
            RpcError: The executor refused: no such program or folder, a duplicate id.
            UnsupportedError: It lacks a capability that an argument needs; nothing was sent.
            ConnectionBrokenError: The answer was lost. Should the process have been started,
                it is ended as soon as the session is resumed.
        """
        if rows is not None or cols is not None:
            self.require(CAPABILITY_RESIZE, "start with rows or cols")
        if output_policy is not None:
            self.require(CAPABILITY_OUTPUT_POLICY, "start with output_policy")
        policy = inherit_env
        if isinstance(policy, str):
            policy = EnvironmentPolicy(
                inherit=policy,
                ignore_default_excludes=policy != "all",
                exclude=[],
                set={},
                include_only=[],
            )
        params = ProcessStartParams(
            process_id=ProcessId(process_id or uuid.uuid4().hex),
            argv=list(argv),
            cwd=self._cwd(cwd),
            env_policy=policy,
            env=dict(env or {}),
            tty=tty,
            pipe_stdin=stdin,
            arg0=arg0,
            sandbox=sandbox,
            rows=rows,
            cols=cols,
            output_policy=output_policy,
        )
        return await self._starts.start(params)

    def _cwd(self, cwd: str | os.PathLike[str] | PathUri | None) -> PathUri:
        if isinstance(cwd, PathUri):
            return cwd
        if cwd is None:
            return self.environment_info.cwd or PathUri.parse("file:///")
        text = os.fspath(cwd)
        return PathUri.parse(text) if text.startswith("file:") else PathUri.from_native(text)

    async def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | str | None = None,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> CompletedProcess:
        """Run a command to its end and return its exit code and all of its output.

        Cancelling it kills the command.

        Args:
            argv: Program and arguments.
            input: Given to its stdin, which then ends.
            timeout: Seconds until it is killed.
            check: Raise unless the exit code is 0.
            **options: As for ``start``.

        Raises:
            TimeoutExpired: It was killed; holds the output so far.
            ProcessFailedError: With ``check``: the exit code is not 0.
            UnsupportedError: There is input and the executor cannot end stdin; nothing was sent.
        """
        if input is not None:
            self.require(CAPABILITY_CLOSE_STDIN, "run with input")
            options.setdefault("stdin", True)
        process = await self.start(argv, **options)
        parts: tuple[bytes, bytes] | None = None
        async with process:
            try:
                async with asyncio.timeout(timeout):
                    parts = await process.communicate(input)
                    returncode = await process.wait()
            except TimeoutError as error:
                out, err = parts or await _collect_killed(process)
                raise TimeoutExpired(process.argv, timeout or 0, out, err) from error
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from failures
        if check and returncode != 0:
            raise ProcessFailedError(process.argv, returncode, *parts)
        return CompletedProcess(process.argv, returncode, *parts)

    # ------------------------------------------------------------------ generations

    async def open_generation(self, *, resume: bool) -> Generation:
        """Connect, initialize, and resume the session if told to.

        Raises:
            ConnectError: No connection, or no answer in time.
            RpcError: The executor refused.
            GenerationLost: The connection broke meanwhile.
            ValueError: The answer makes no sense, or names another session.
        """
        websocket = await open_websocket(self.url, self.options)
        generation = Generation(
            websocket, self.options, self._notified, self._generation_lost, self._may_read
        )
        done = False
        try:
            async with asyncio.timeout(self.options.initialize_timeout):
                params = InitializeParams(
                    client_name=self.options.client_name,
                    resume_session_id=self._session_id if resume else None,
                )
                answer = await generation.call("initialize", params.to_json())
                result = InitializeResult.model_validate(answer)
                if self._session_id not in (None, result.session_id):
                    raise ValueError(
                        f"exec-server initialized an unexpected session {result.session_id}"
                    )
                self._session_id = result.session_id
                self._info = self._info or result.environment_info
                await generation.notify("initialized", b"{}")
            done = True
        except TimeoutError as error:
            raise HandshakeTimeoutError(
                f"{redact(self.url)} did not answer initialize within "
                f"{self.options.initialize_timeout:g} s"
            ) from error
        finally:
            if not done:
                generation.abort()
        return generation

    def _notified(self, message: Notification) -> None:
        """Route an event. A known one that makes no sense ends the connection, not the session."""
        if message.method not in ("process/output", "process/exited", "process/closed"):
            return
        process_id, event = parse_event(message.method, message.params)
        process = self._processes.get(process_id)
        if process is not None and process.receive(event):
            self.forget(process)

    async def _may_read(self, generation: Generation) -> None:
        # While a call waits, its answer must come through, whatever is in front of it.
        while self.read_budget.full and not generation.pending and not generation.lost:
            await self.read_budget.wait()

    def _generation_lost(self, generation: Generation, reason: str) -> None:
        if generation is not self._generation or self._state is not ClientState.CONNECTED:
            return  # an older one, or one that was never used
        self._change(ClientEvent.LOST, reason)
        self._recovery = asyncio.get_running_loop().create_task(
            self._recover(reason), name="exec-client-recovery"
        )

    async def _recover(self, reason: str) -> None:
        try:
            resumed: Resumed = await recover(self, reason)
        except SessionLostError as error:
            self._give_up(error)
            return
        except Exception as error:
            logger.exception("recovery failed")
            self._give_up(
                SessionLostError(
                    f"{reason}; failed to resume exec-server session: {type(error).__name__}"
                )
            )
            return
        self._generation = resumed.generation
        self._change(ClientEvent.RESUMED, "", resumed.recovered_bytes)
        if resumed.generation.lost:  # it died between its last answer and this line
            self._generation_lost(resumed.generation, str(GenerationLost(sent=False)))

    def _give_up(self, error: SessionLostError) -> None:
        self._failure = error
        self._change(ClientEvent.GAVE_UP, str(error))
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.fail(str(error), error)

    def _change(self, event: ClientEvent, reason: str, recovered: int = 0) -> None:
        old, self._state = self._state, advance(self._state, event)
        at = asyncio.get_running_loop().time()
        logger.info("%s -> %s: %s", old.value, self._state.value, reason or event.value)
        self._watchers.publish(StateChange(old, self._state, reason, at, recovered))
        self.read_budget.wake()

    # ------------------------------------------------------------------ for starts and recovery

    def make_process(self, params: ProcessStartParams) -> Process:
        """Return the object of a process that is about to be started."""
        return Process(self, params.process_id, params.argv, tty=params.tty)

    def route(self, process: Process) -> None:
        """Send the events of a process to its object.

        Raises:
            ClientError: The id is taken, also by a start that is still being cleaned up.
        """
        if self._failure is not None:
            raise self._failure
        if process.process_id in self._processes:
            raise ClientError(f"session already registered for process {process.process_id}")
        self._processes[process.process_id] = process

    def forget(self, process: Process) -> None:
        """Route no more events to a process; one that took over its id is left alone."""
        if self._processes.get(process.process_id) is process:
            del self._processes[process.process_id]

    def recoverable_processes(self) -> Iterable[Process]:
        """Return the processes that a recovery has to catch up with."""
        return [process for process in self._processes.values() if process.recoverable]

    async def wait_starts(self) -> None:
        """Wait until no start is in flight."""
        await self._starts.wait_settled()

    # ------------------------------------------------------------------ end

    async def aclose(self) -> None:
        """End the connection. The session and its processes end when the executor forgets them.

        Waiting calls raise ``ClientClosedError``. Repeating it does nothing.
        """
        if self._state in (ClientState.CONNECTED, ClientState.RECOVERING):
            self._change(ClientEvent.CLOSE, "closed by the caller")
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        await self._starts.aclose()
        if self._generation is not None:
            await self._generation.close()
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.fail("the client was closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


async def _collect_killed(process: Process) -> tuple[bytes, bytes]:
    """Kill a command and return what it has written."""
    await process.terminate()
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            await process.wait()
    except TimeoutError:
        logger.debug("a killed command's output did not end")
    return process.stdout.take_all(), process.stderr.take_all()
