"""The client: one session over as many connections as it takes."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from exec_server_protocol._names import OutputPolicy, ProcessId, SessionId
from exec_server_protocol._plain import EnvironmentInfo, ProcessStartParams
from exec_server_protocol.capabilities import (
    CAPABILITY_DETAILS,
    CAPABILITY_MERGE_STDERR,
    CAPABILITY_OUTPUT_POLICY,
    CAPABILITY_RESIZE,
    CAPABILITY_START_ERRORS,
)
from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import ENVIRONMENT_STATUS
from exec_server_protocol.path_uri import PathUri

from .connection.calls import request
from .connection.generation import GenerationLost
from .connection.states import ClientState, StateChange
from .connection.websocket import connectable, redact
from .errors import (
    BadAnswerError,
    HandshakeRejectedError,
)
from .executor import Executor, ask_info
from .gaps import GapMarker, LostOutput, OnLoss
from .options import ClientOptions
from .process.process import Process
from .process.start_arguments import (
    Argument,
    Argv,
    InheritEnv,
    arguments_named,
    argv_texts,
    cwd_uri,
    env_texts,
    environment_policy,
    sandbox_context,
    terminal_texts,
)
from .session.session import Session
from .session.status import EnvironmentStatus, status_from_answer

if TYPE_CHECKING:
    from typing import Self

    from exec_server_protocol._model import WireModel
    from exec_server_protocol.sandbox import SandboxContext


__all__ = ["Client", "ClientState", "StateChange", "connect"]


class connect:
    """Connect to an executor: ``async with connect(url) as client`` or ``await connect(url)``.

    Args:
        url: ``ws://`` or ``wss://``; ``HOST:PORT`` alone means ``ws://``, and ``http://`` too.
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


class Client(Executor):
    """One session of an executor. Made by ``connect``.

    A lost connection is resumed: calls wait meanwhile, processes and their streams go on. A
    call whose answer was lost raises ``ConnectionBrokenError``, unless repeating it changes
    nothing on the executor. When the session cannot be resumed, every call raises the same
    ``SessionLostError``.

    Cancelling any call is safe: nothing is left behind, and a process whose start was
    cancelled is ended.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told: EnvironmentInfo | None = None

    def __repr__(self) -> str:
        return f"<Client {self.state.value}>"

    @classmethod
    async def open(cls, url: str, options: ClientOptions, session_id: str | None = None) -> Client:
        """Connect and initialize, once; see ``connect``."""
        url = connectable(url)
        known = None if session_id is None else SessionId(session_id)
        session = Session(url, options, known)
        try:
            await session.connect(resume=known is not None)
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
        client = cls(session)
        try:
            if session.info is None:
                session.info = await ask_info(session, EnvironmentInfo)
        except (RpcError, BadAnswerError):  # an older executor, which does not tell
            shell = {"name": "sh", "path": "/bin/sh"}
            session.info = EnvironmentInfo.model_validate({"shell": shell})
        except BaseException:
            await session.aclose()
            raise
        return client

    # ------------------------------------------------------------------ what it is

    @property
    def url(self) -> str:
        """Address of the executor."""
        return self._session.url

    @property
    def state(self) -> ClientState:
        """State of the client: connected, recovering, failed or closed."""
        return self._session.state

    @property
    def session_id(self) -> str:
        """The session; who knows it can resume it."""
        return self._session.session_id

    @property
    def environment_info(self) -> EnvironmentInfo:
        """Description that the executor gave of itself when the connection was made."""
        if self._told is None:
            from exec_server_protocol.handshake import EnvironmentInfo  # which takes time to load

            said = self._session.info
            self._told = EnvironmentInfo.model_validate(said and said.to_wire())
        return self._told

    def supports(self, capability: str) -> bool:
        """Return whether the executor announced a capability."""
        return self._session.supports(capability)

    def require(self, capability: str, what: str) -> None:
        """Raise ``UnsupportedError`` unless the executor announced a capability."""
        self._session.require(capability, what)

    def state_changes(self) -> AsyncIterator[StateChange]:
        """Return each change of ``state`` from this call on; ends with failed or closed."""
        return self._session.state_changes()

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
        return await self._session.call(method, params, idempotent=idempotent)

    async def status(self) -> EnvironmentStatus:
        """Ask the executor whether it takes requests.

        As every call it waits while the client recovers. ``Environment.status`` returns the
        same, and ``disconnected`` where this raises.

        Raises:
            SessionLostError: The client has failed for good.
            ClientClosedError: It was closed.
        """
        return status_from_answer(await request(self._session, ENVIRONMENT_STATUS))

    async def _get_session(self) -> Session:
        return self._session

    async def _client(self) -> Client:
        return self

    # ------------------------------------------------------------------ processes

    async def start(
        self,
        argv: Argv[Argument],
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
        merge_stderr: bool = False,
        lost_output: LostOutput | None = None,
        gap_marker: GapMarker | None = None,
        process_id: str | None = None,
        sandbox: SandboxContext | None = None,
    ) -> Process:
        """Start a process.

        Args:
            argv: Program and arguments: a list of ``str``, paths, or bytes that are UTF-8.
            cwd: Absolute path on the executor; ``None`` for the executor's own.
            env: Variables, laid over what is inherited.
            inherit_env: What to take of the executor's environment: ``core`` for PATH, HOME,
                language and the like, ``all``, ``none``, or a policy.
            tty: A terminal instead of pipes; its output is ``stdout``. ``TERM`` is
                ``xterm-256color``, unless ``env`` or a policy says something else.
            stdin: Connect stdin to ``write``; otherwise it is empty. A terminal always is.
            arg0: What the program sees as ``argv[0]``.
            rows: Height of the terminal.
            cols: Width of the terminal.
            output_policy: What happens to output while nobody is connected and all that may
                be kept is kept: ``drop-oldest``, or ``back-pressure`` to make the process wait.
            merge_stderr: Make stderr the pipe of stdout: all is there, in the order of writing.
            lost_output: What happens when output is lost: ``fail`` or ``gap``; ``None`` for
                the client's default, see ``ClientOptions``.
            gap_marker: What its streams yield in the place of a gap; ``None`` likewise.
            process_id: Its name in the session; ``None`` for a new one.
            sandbox: What it may do; ``None`` for the client's default.

        Raises:
            TypeError: An argument is of the wrong type; the text begins with its name.
            ValueError: An argument has a value that cannot be; likewise. Nothing was sent.
            StartError: The program or the folder is missing or cannot be used: also a
                ``FileNotFoundError``, ``PermissionError`` or ``NotADirectoryError``.
            RpcError: The executor refused: a duplicate id, a sandbox that cannot be enforced.
            UnsupportedError: It lacks a capability that an argument needs; nothing was sent.
            ConnectionBrokenError: The answer was lost. Should the process have been started,
                it is ended as soon as the session is resumed.
        """
        if rows is not None or cols is not None:
            self._session.require(CAPABILITY_RESIZE, "start with rows or cols")
        if output_policy is not None:
            self._session.require(CAPABILITY_OUTPUT_POLICY, "start with output_policy")
        if merge_stderr and not tty:
            self._session.require(CAPABILITY_MERGE_STDERR, "start with merge_stderr")
        options = self._session.options
        with arguments_named():
            policy = environment_policy(inherit_env)
            params = ProcessStartParams(
                process_id=ProcessId(process_id or uuid.uuid4().hex),
                argv=argv_texts(argv),
                cwd=self._default_cwd() if cwd is None else cwd_uri(cwd),
                env_policy=policy,
                env=terminal_texts(env, policy) if tty else env_texts(env),
                tty=tty,
                pipe_stdin=stdin,
                arg0=arg0,
                sandbox=sandbox_context(options.sandbox if sandbox is None else sandbox),
                rows=rows,
                cols=cols,
                output_policy=output_policy,
                start_errors=True if self.supports(CAPABILITY_START_ERRORS) else None,
                merge_stderr=True if merge_stderr and not tty else None,
                details=True if self.supports(CAPABILITY_DETAILS) else None,
            )
        marker = options.gap_marker if gap_marker is None else gap_marker
        on_loss = OnLoss(lost_output or options.lost_output, marker)
        return await self._session.starts.start(params, on_loss)

    def _default_cwd(self) -> PathUri:
        return self._session.cwd or PathUri.parse("file:///")

    # ------------------------------------------------------------------ end

    async def aclose(self) -> None:
        """End the connection. The session and its processes end when the executor forgets them.

        Waiting calls raise ``ClientClosedError``. Repeating it does nothing.
        """
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
