"""An executor without ``async``, as clients and environments have it in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ..process.sinks import in_thread
from ..process.start_arguments import Argument, Argv, RunOptions
from .portal import Portal
from .process import Process

if TYPE_CHECKING:
    from typing import Unpack

    from exec_server_protocol.handshake import EnvironmentInfo
    from exec_server_protocol.process import ProcessInfo

    from ..client import Client
    from ..environment import Environment, EnvironmentStatus
    from ..process.completed import CompletedProcess
    from ..process.start_arguments import StartOptions
    from .filesystem import FileSystem
    from .http import Http

__all__ = ["SyncExecutor"]


class SyncExecutor:
    """``exec_client.executor.Executor`` without ``async``."""

    _portal: Portal

    def _asynchronous(self) -> Client | Environment:
        raise NotImplementedError

    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[False] = False,
        encoding: None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess: ...
    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[True],
        encoding: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: bool = False,
        encoding: str,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    def run(self, argv: Argv[Argument], **options: Any) -> CompletedProcess[Any]:
        """Run a command to its end; takes what ``exec_client.Client.run`` takes.

        Functions for output are called in a thread, one call at a time, and may block.
        """
        for name in ("stdout", "stderr"):
            if name in options:
                options[name] = in_thread(options[name])
        return self._portal.call(self._asynchronous().run(argv, **options))

    def start(self, argv: Argv[Argument], **options: Unpack[StartOptions]) -> Process:
        """Start a process; takes what ``exec_client.Client.start`` takes."""
        process = self._portal.call(self._asynchronous().start(argv, **options))
        return Process(self._portal, process)

    def list_processes(self) -> list[ProcessInfo]:
        """Return the processes of the session."""
        return self._portal.call(self._asynchronous().list_processes())

    def status(self) -> EnvironmentStatus:
        """Return whether the executor takes requests; an environment never connects for that."""
        return self._portal.call(self._asynchronous().status())

    def info(self) -> EnvironmentInfo:
        """Return what the executor says about itself."""
        return self._portal.call(self._asynchronous().info())

    def uptime(self) -> float:
        """Return for how many seconds the executor has listened."""
        return self._portal.call(self._asynchronous().uptime())

    @property
    def fs(self) -> FileSystem:
        """The executor's files. Nothing connects before the first call."""
        from .filesystem import FileSystem

        return FileSystem(self._portal, self._asynchronous().fs)

    @property
    def http(self) -> Http:
        """HTTP requests that the executor makes. Nothing connects before the first one."""
        from .http import Http

        return Http(self._portal, self._asynchronous().http)
