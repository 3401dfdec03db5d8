"""An exec-server of one's own: started as a child on a loopback port, ended with its owner.

The server is another distribution and is never imported: it is found as a program, beside
the running interpreter or on PATH. It prints its URL as the one line of its stdout, so
nothing is polled and nobody sleeps.

Every user of this machine can reach a loopback port. So the server asks for a token, which is
made up for it and known to this process alone: the server's command line has the SHA-256 of it.

Its stdin is a pipe that only this process can write to, and it is told to stop when that
pipe closes. The kernel closes it when this process ends, in whatever way, so the server and
all its children go with their owner even when the owner is killed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final

from .server_program import (
    PROGRAM,
    EmbeddedServerError,
    ServerProgramMissingError,
    StartedProgram,
    find_program,
    make_token,
    start_program,
)

if TYPE_CHECKING:
    from .options import ClientOptions

__all__ = [
    "EmbeddedServer",
    "EmbeddedServerError",
    "ServerProgramMissingError",
    "embedded_options",
    "find_program",
]

START_TIMEOUT_S: Final = 30.0
"""For the URL to appear. It takes a third of a second; a busy machine may need far longer."""
STOP_TIMEOUT_S: Final = 5.0
"""For each step of stopping: the closed stdin, then SIGTERM. SIGKILL needs no third one."""
STDERR_TAIL_BYTES: Final = 4096
"""End of the server's stderr that error texts quote: a traceback, not a whole log."""
READ_BYTES: Final = 65_536
"""What a pipe holds by default, so one read empties it."""


RECOVERY_DEADLINE_S: Final = 1.0
"""Nothing cuts a loopback connection, so a lost one means that the server has ended."""


def embedded_options(options: ClientOptions | None, token: str) -> ClientOptions:
    """Return ``options`` for a server of one's own.

    There is little to wait for once it is gone, and it asks for no other token than its own.

    Args:
        options: What else is wanted.
        token: The server's.
    """
    from .options import ClientOptions

    options = options or ClientOptions()
    deadline = min(options.recovery_deadline, RECOVERY_DEADLINE_S)
    return dataclasses.replace(
        options,
        recovery_deadline=deadline,
        token=token,
        additional_headers={
            name: value
            for name, value in options.additional_headers.items()
            if name.lower() != "authorization"
        },
        proxy=None,
    )


class EmbeddedServer:
    """A running exec-server that belongs to this object.

    Use it with ``async with``: the server is killed and reaped when the block is left, however
    that happens. Lives on one event loop, and needs neither a thread nor a child watcher.

    Args:
        program: What to start instead of ``find_program()``.
        cwd: Folder in which it starts; the current one when ``None``.
        arguments: Further command line arguments.
        started: A program that was started before the loop ran, to be taken over.

    Attributes:
        url: Where it listens, once it was started.
        token: What it asks for. ``client_options`` has it.
    """

    def __init__(
        self,
        *,
        program: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        arguments: tuple[str, ...] = (),
        started: StartedProgram | None = None,
    ) -> None:
        self._started = started
        self._program = program
        self._cwd = cwd
        self._arguments = arguments
        self._child: _Child | None = None
        self.url = ""
        self.token = started.token if started is not None else make_token()

    def __repr__(self) -> str:
        return f"<EmbeddedServer pid={self.pid} url={self.url!r}>"

    @property
    def pid(self) -> int | None:
        """Process id of the program, which supervises the server; ``None`` before its launch."""
        return self._child.popen.pid if self._child is not None else None

    @property
    def stderr_tail(self) -> str:
        """The last few lines that the server wrote to its stderr."""
        return self._child.stderr_tail if self._child is not None else ""

    def client_options(self, options: ClientOptions | None = None) -> ClientOptions:
        """Return how to connect to it: ``options`` with its token."""
        return embedded_options(options, self.token)

    def launch(self) -> None:
        """Start the program without waiting for it, so that the caller can do other work.

        Must be called on the running loop, and followed by ``wait_ready`` and ``aclose``.

        Raises:
            ServerProgramMissingError: There is no program to start.
            EmbeddedServerError: It cannot be executed.
        """
        if self._started is None:
            self._started = start_program(
                self._program, self._cwd, self._arguments, token=self.token
            )
        self._child = _Child(self._started.popen)

    async def wait_ready(self, *, timeout: float = START_TIMEOUT_S) -> str:
        """Return the URL as soon as the server has printed it.

        Args:
            timeout: Seconds to wait.

        Raises:
            EmbeddedServerError: It ended, said something else, or took too long. It is no
                longer running then.
        """
        child = self._child
        if child is None:
            raise EmbeddedServerError(f"{PROGRAM} was not launched")
        try:
            async with asyncio.timeout(timeout):
                line = (await child.first_line).decode("utf-8", "replace").strip()
        except TimeoutError as error:
            await child.stop()
            raise self._error(f"{PROGRAM} did not print its URL within {timeout:g} s") from error
        if line.startswith(("ws://", "wss://")):
            self.url = line
            return line
        await child.stop()
        if line:
            raise self._error(f"{PROGRAM} printed something else than its URL")
        raise self._error(f"{PROGRAM} ended with code {child.popen.returncode} before it was ready")

    async def aclose(self) -> None:
        """Stop the server with everything it runs, and reap it. Repeating it does nothing.

        When it is cancelled, the server is killed at once.
        """
        if self._child is not None:
            await self._child.stop()

    def _error(self, what: str) -> EmbeddedServerError:
        said = self.stderr_tail
        return EmbeddedServerError(f"{what}; it said:\n{said}" if said else what)

    async def __aenter__(self) -> EmbeddedServer:
        try:
            self.launch()
            await self.wait_ready()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Child:
    """A child whose pipes and exit are watched by the running loop."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self._loop = asyncio.get_running_loop()
        self.first_line: asyncio.Future[bytes] = self._loop.create_future()
        self._exited = asyncio.Event()
        self._stdout = b""
        self._stderr = b""
        assert popen.stdout is not None and popen.stderr is not None  # noqa: S101, PT018
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        for pipe, callback in ((popen.stdout, self._on_stdout), (popen.stderr, self._on_stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), callback)

    @property
    def stderr_tail(self) -> str:
        return self._stderr.decode("utf-8", "replace").strip()

    async def stop(self) -> None:
        """Ask, insist, kill; returns when the child is reaped and all pipes are closed."""
        assert self.popen.stdin is not None  # noqa: S101
        try:
            self.popen.stdin.close()
            if not await self._ends_within(STOP_TIMEOUT_S):
                self.popen.terminate()
                await self._ends_within(STOP_TIMEOUT_S)
        finally:
            if not self._exited.is_set():
                self.popen.kill()
                # A killed child cannot linger, so this neither hangs nor may be given up.
                self.popen.wait()
                self._on_exit()

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    def _on_exit(self) -> None:
        if self._exited.is_set() or self.popen.poll() is None:
            return
        self._on_stdout()
        self._on_stderr()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None and not pipe.closed:
                self._loop.remove_reader(pipe.fileno())
                pipe.close()
        if not self.first_line.done():
            self.first_line.set_result(b"")
        self._exited.set()

    def _on_stdout(self) -> None:
        data = self._read(self.popen.stdout)
        if self.first_line.done() or data is None:
            return  # Later output means nothing; it is read so that nobody blocks on it.
        self._stdout += data
        whole, newline, _ = self._stdout.partition(b"\n")
        if newline or not data or len(self._stdout) > STDERR_TAIL_BYTES:
            self.first_line.set_result(whole)

    def _on_stderr(self) -> None:
        data = self._read(self.popen.stderr) or b""
        self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]

    def _read(self, pipe: IO[bytes] | None) -> bytes | None:
        """Read what is there, ``None`` if nothing is; at the end of the pipe, stop watching it."""
        if pipe is None or pipe.closed:
            return None
        data = pipe.read(READ_BYTES)
        if data == b"":
            self._loop.remove_reader(pipe.fileno())
        return data
