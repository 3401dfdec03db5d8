"""The client and what it starts, without ``async``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .output import OutputStream
from .portal import Portal, PortalIterator, timeout
from .portal import timeout as limit
from .runner import SyncRunner

if TYPE_CHECKING:
    from typing import Self, Unpack

    from exec_server_protocol._model import WireModel
    from exec_server_protocol.handshake import EnvironmentInfo
    from exec_server_protocol.process import ProcessInfo, ProcessReadResult, SandboxType

    from .. import client as _client
    from .. import environment as _environment
    from ..connection.states import ClientState, StateChange
    from ..errors import ProcessBrokenError
    from ..options import ClientOptions
    from ..process import process as _process
    from ..process.events import OutputEvent, ProcessEvent
    from ..process.runner import Runner
    from ..process.start_arguments import Argument, Argv, Signal, StartOptions
    from . import filesystem as _filesystem
    from . import http as _http

__all__ = ["Client", "Environment", "OutputStream", "Process", "connect", "timeout"]


def connect(
    url: str, *, options: ClientOptions | None = None, session_id: str | None = None
) -> Client:
    """Connect to the executor at ``url``; close the result, or use it with ``with``.

    Args:
        url: ``ws://`` or ``wss://``.
        options: Settings; ``None`` for the defaults.
        session_id: A detached session to attach to; ``None`` opens a new one.

    Raises:
        ConnectError: The executor cannot be reached, or refuses.
    """
    from ..client import connect as connect_async

    portal = Portal()
    try:
        return Client(
            portal, portal.enter(connect_async(url, options=options, session_id=session_id))
        )
    except BaseException:
        portal.close()
        raise


class _Owner:
    """Closes a portal with the object that owns it."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def close(self) -> None:
        """End the connection and the thread behind it. Repeating it does nothing."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Client(_Owner, SyncRunner):
    """``exec_client.Client`` without ``async``. Made by ``connect``."""

    def __init__(self, portal: Portal, client: _client.Client) -> None:
        super().__init__(portal)
        self._client = client

    def __repr__(self) -> str:
        return f"<sync {self._client!r}>"

    @property
    def url(self) -> str:
        """Where the executor is."""
        return self._client.url

    @property
    def session_id(self) -> str:
        """The session that this client is attached to."""
        return self._client.session_id

    @property
    def environment_info(self) -> EnvironmentInfo:
        """What the executor said about itself when the connection was made."""
        return self._client.environment_info

    @property
    def state(self) -> ClientState:
        """How the connection is."""
        return self._client.state

    def start(self, argv: Argv[Argument], **options: Unpack[StartOptions]) -> Process:
        """Start a process; takes what ``exec_client.Client.start`` takes."""
        process = self._portal.call(self._client.start(argv, **options))
        return Process(self._portal, process)

    def _runner(self) -> Runner:
        return self._client

    def list_processes(self) -> list[ProcessInfo]:
        """Return the processes of the session."""
        return self._portal.call(self._client.list_processes())

    def status(self) -> _environment.EnvironmentStatus:
        """Ask the executor whether it takes requests."""
        return self._portal.call(self._client.status())

    def info(self) -> EnvironmentInfo:
        """Return what the executor says about itself."""
        return self._portal.call(self._client.info())

    def state_changes(self) -> Iterator[StateChange]:
        """Return each change of ``state`` from now on."""
        return PortalIterator(self._portal, self._client.state_changes())

    @property
    def fs(self) -> _filesystem.FileSystem:
        """The executor's files."""
        from .filesystem import FileSystem

        return FileSystem(self._portal, self._client.fs)

    @property
    def http(self) -> _http.Http:
        """HTTP requests that the executor makes."""
        from .http import Http

        return Http(self._portal, self._client.http)

    def call(self, method: str, params: WireModel | None = None) -> dict[str, Any]:
        """Send a request of the protocol and return its result as it came."""
        return self._portal.call(self._client.call(method, params))


class Environment(_Owner, SyncRunner):
    """``exec_client.environment.Environment`` without ``async``."""

    def __init__(self, make: Callable[[], _environment.Environment]) -> None:
        super().__init__(Portal())

        async def enter() -> _environment.Environment:
            return make()

        try:
            self._environment = self._portal.call(enter())
            self._portal.enter(self._environment)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<sync {self._environment!r}>"

    @classmethod
    def remote(cls, url: str, *, options: ClientOptions | None = None) -> Self:
        """Return the environment of the executor at ``url``; nothing connects yet."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.remote(url, options=options))

    @classmethod
    def local(
        cls,
        *,
        program: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
    ) -> Self:
        """Return the environment of this machine; nothing starts yet."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.local(program=program, cwd=cwd, options=options))

    @classmethod
    def create(cls, url: str | None, *, options: ClientOptions | None = None) -> Self:
        """Return ``local()`` for no URL or a blank one, else ``remote(url)``."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.create(url, options=options))

    @property
    def is_remote(self) -> bool:
        """Whether it is not this machine."""
        return self._environment.is_remote

    @property
    def exec_server_url(self) -> str | None:
        """URL of a remote environment; ``None`` for the local one."""
        return self._environment.exec_server_url

    def wait_until_ready(self) -> None:
        """Connect where needed and return when the executor takes requests."""
        self._portal.call(self._environment.wait_until_ready())

    def status(self) -> _environment.EnvironmentStatus:
        """Return how the environment is. Never connects; asks a connected executor."""
        return self._portal.call(self._environment.status())

    def info(self) -> EnvironmentInfo:
        """Return what the executor says about itself."""
        return self._portal.call(self._environment.info())

    @property
    def fs(self) -> _filesystem.FileSystem:
        """Its files. Nothing connects before the first call."""
        from .filesystem import FileSystem

        return FileSystem(self._portal, self._environment.fs)

    def start(self, argv: Argv[Argument], **options: Unpack[StartOptions]) -> Process:
        """Start a process; takes what ``exec_client.Client.start`` takes."""
        process = self._portal.call(self._environment.start(argv, **options))
        return Process(self._portal, process)

    def _runner(self) -> Runner:
        return self._environment

    @property
    def http(self) -> _http.Http:
        """HTTP requests that its executor makes."""
        from .http import Http

        return Http(self._portal, self._environment.http)

    def list_processes(self) -> list[ProcessInfo]:
        """Return the processes of this environment's session."""
        return self._portal.call(self._environment.list_processes())


class Process:
    """``exec_client.Process`` without ``async``.

    Used with ``with``, it is terminated at the end of the block if it still runs.
    """

    def __init__(self, portal: Portal, process: _process.Process) -> None:
        self._portal = portal
        self._process = process
        self.stdout = OutputStream(portal, process.stdout)
        self.stderr = OutputStream(portal, process.stderr)

    def __repr__(self) -> str:
        return f"<sync {self._process!r}>"

    @property
    def process_id(self) -> str:
        """Its name in the session."""
        return self._process.process_id

    @property
    def argv(self) -> Sequence[str]:
        """What was started."""
        return self._process.argv

    @property
    def returncode(self) -> int | None:
        """Exit code, 128 + N for signal N; ``None`` while it runs."""
        return self._process.returncode

    @property
    def signal(self) -> int | None:
        """The signal that ended it; ``None`` if none did, or if that is not known."""
        return self._process.signal

    @property
    def pid(self) -> int | None:
        """Its number on the executor; ``None`` where the executor does not tell."""
        return self._process.pid

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return self._process.tty

    @property
    def failure(self) -> ProcessBrokenError | None:
        """Why it cannot be followed any more, if so."""
        return self._process.failure

    @property
    def sandbox_type(self) -> SandboxType:
        """What confines it."""
        return self._process.sandbox_type

    def events(self) -> Iterator[ProcessEvent]:
        """Return output, exit and close in their order, from what is still kept."""
        return PortalIterator(self._portal, self._process.events())

    def read(
        self, after_seq: int = 0, max_bytes: int | None = None, wait: float = 0.0
    ) -> ProcessReadResult:
        """Return output that the executor retains, and the state of the process."""
        return self._portal.call(self._process.read(after_seq, max_bytes, wait))

    def retained(self, after_seq: int = 0) -> Iterator[OutputEvent]:
        """Yield the output that the executor still has, page by page."""
        return PortalIterator(self._portal, self._process.retained(after_seq))

    def wait_changed(self, seen: int = 0) -> int:
        """Wait until something newer than ``seen`` happened; return what to pass next time."""
        return self._portal.call(self._process.wait_changed(seen))

    def write(self, data: bytes | str) -> None:
        """Write to its stdin."""
        self._portal.call(self._process.write(data))

    def close_stdin(self) -> None:
        """End its stdin after everything written so far."""
        self._portal.call(self._process.close_stdin())

    def resize(self, rows: int, cols: int) -> None:
        """Change the size of its terminal."""
        self._portal.call(self._process.resize(rows, cols))

    def send_signal(self, signal: Signal) -> None:
        """Send it a signal, by name or as ``signal.SIGTERM``."""
        self._portal.call(self._process.send_signal(signal))

    def terminate(self) -> None:
        """Kill it and its process group."""
        self._portal.call(self._process.terminate())

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended.

        Raises:
            TimeoutError: It has not within so many seconds. It goes on.
        """
        with limit(timeout):
            return self._portal.call(self._process.wait())

    def wait_exited(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended, whatever it has left behind."""
        with limit(timeout):
            return self._portal.call(self._process.wait_exited())

    def communicate(
        self, input: bytes | str | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write ``input``, end stdin, and return all of stdout and stderr.

        Raises:
            TimeoutError: It has not ended within so many seconds. It goes on, and what has arrived
                can still be read.
        """
        with limit(timeout):
            return self._portal.call(self._process.communicate(input))

    def __enter__(self) -> Self:
        self._portal.call(self._process.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(self._process.__aexit__(kind, error, traceback), limited=False)
