"""A process on an executor, as its client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

from exec_server_protocol._scalars import ProcessId
from exec_server_protocol.errors import RpcError
from exec_server_protocol.process import (
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_RESIZE,
    CAPABILITY_SIGNALS,
    ProcessCloseStdinParams,
    ProcessReadParams,
    ProcessReadResult,
    ProcessResizeParams,
    ProcessSignalParams,
    ProcessTerminateParams,
    ProcessWriteParams,
    SandboxType,
    SignalName,
)

from .errors import ClientError, OutputLostError, ProcessBrokenError, StdinClosedError
from .event_log import EventLog
from .events import (
    ClosedEvent,
    ExitedEvent,
    FailedEvent,
    OutputEvent,
    ProcessEvent,
    SequencedEvent,
)
from .output import OutputStream, ReadBudget
from .recovery.catch_up import CatchUp, GapError
from .recovery.ordering import Ordering, ReorderLimitError

if TYPE_CHECKING:
    from typing import Self

    from .session import Session

__all__ = ["CompletedProcess", "Process", "ProcessEvent"]

_WRITE_BYTES: Final = 1024 * 1024
"""Sent at once: executors take frames of 16 MiB, and answer each write when it is queued."""


@dataclass(frozen=True, slots=True)
class CompletedProcess:
    """A command that has ended.

    Attributes:
        args: What was run.
        returncode: Exit code; 128 + N for signal N.
        stdout: All of it. With a terminal everything is here.
        stderr: All of it.
    """

    args: list[str]
    returncode: int
    stdout: bytes
    stderr: bytes


class Process:
    """A process of a client's session. Made by ``Client.start``.

    It survives lost connections: as long as the client recovers, nothing here notices. With
    ``async with`` it is terminated at the end of the block if it still runs; just dropping
    the object leaves it running until its session ends.

    Attributes:
        argv: What was started.
        stdout: Its output; everything it writes when it has a terminal.
        stderr: Its errors; empty when it has a terminal.
        sandbox_type: What confines it.
    """

    def __init__(
        self, session: Session, process_id: str, argv: Sequence[str], *, tty: bool
    ) -> None:
        self._session = session
        self._id = ProcessId(process_id)
        self.argv = list(argv)
        self.tty = tty
        self.sandbox_type: SandboxType = "none"
        budget: ReadBudget = session.read_budget
        self.stdout = OutputStream(budget)
        self.stderr = OutputStream(budget)
        self.ordering = Ordering()
        self.catch_up: CatchUp | None = None
        self.recoverable = False
        self._log = EventLog()
        self._returncode: int | None = None
        self._failure: ProcessBrokenError | None = None
        self._wake_value = 0
        self._wakers: set[asyncio.Event] = set()
        self._over = asyncio.Event()
        self._write_lock = asyncio.Lock()
        self._writes = 0

    def __repr__(self) -> str:
        state = "failed" if self._failure else "closed" if self.ordering.closed else "open"
        return f"<Process {state} returncode={self._returncode}>"

    # ------------------------------------------------------------------ filled by the client

    def receive(self, event: SequencedEvent) -> bool:
        """Take an event. Returns whether that published the last one."""
        if self._failure is not None:
            return False
        try:
            ready = self.ordering.apply(event)
        except ReorderLimitError as error:
            self.fail(str(error))
            return True
        self._wake(max(self._wake_value, event.seq))
        self.publish(ready)
        return self.ordering.closed

    def publish(self, events: Sequence[SequencedEvent]) -> None:
        """Publish events that are in order."""
        for event in events:
            if isinstance(event, OutputEvent):
                (self.stderr if event.stream == "stderr" else self.stdout).feed(event.data)
            elif isinstance(event, ExitedEvent):
                self._returncode = event.exit_code
            self._log.publish(event)
            if isinstance(event, ClosedEvent):
                self._finish(None)

    def caught_up(self, target: int) -> None:
        """A catch-up has reached this number."""
        self.catch_up = None
        self.ordering.recovering = False
        self._wake(max(self._wake_value, target))

    def fail(self, message: str, cause: BaseException | None = None) -> None:
        """End it on this side: it cannot be followed any more. The first reason stays."""
        if self._failure is not None or self.ordering.closed:
            return
        if isinstance(cause, GapError):
            self._failure = OutputLostError(
                message, after_seq=cause.after_seq, oldest_seq=cause.oldest_seq
            )
        else:
            self._failure = ProcessBrokenError(message)
        self._failure.__cause__ = cause
        self.ordering.clear()
        self._log.publish(FailedEvent(message))
        self._wake(self._wake_value + 1)
        self._finish(self._failure)

    def _finish(self, error: ClientError | None) -> None:
        self.stdout.end(error)
        self.stderr.end(error)
        self._over.set()

    def _wake(self, value: int) -> None:
        self._wake_value = value
        for waker in self._wakers:
            waker.set()

    # ------------------------------------------------------------------ for the caller

    @property
    def process_id(self) -> str:
        """Its name in the session."""
        return self._id

    @property
    def returncode(self) -> int | None:
        """Exit code, 128 + N for signal N; ``None`` while it runs."""
        return self._returncode

    @property
    def failure(self) -> ProcessBrokenError | None:
        """Why it cannot be followed any more, if so."""
        return self._failure

    def events(self) -> AsyncIterator[ProcessEvent]:
        """Return output, exit and close in their order, from what is still kept.

        Kept are the last 256 events and 1 MiB. A subscriber that falls 256 events behind
        gets an ``OutputLostError`` once and goes on with the oldest that is left.
        """
        return self._log.subscribe()

    async def wait(self) -> int:
        """Return the exit code once the process has ended and its output is complete.

        Output that nobody has begun to read does not block it; see ``OutputStream``.

        Raises:
            ProcessBrokenError: It cannot be followed any more.
        """
        self.stdout.give_way()
        self.stderr.give_way()
        await self._over.wait()
        if self._failure is not None:
            raise self._failure
        if self._returncode is None:
            raise ProcessBrokenError("the process was closed without an exit code")
        return self._returncode

    async def wait_changed(self, seen: int = 0) -> int:
        """Wait until something newer than ``seen`` happened; return what to pass next time.

        The value never falls. Several tasks may wait.
        """
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            while self._wake_value <= seen:
                waker.clear()
                await waker.wait()
        finally:
            self._wakers.discard(waker)
        return self._wake_value

    async def read(
        self, after_seq: int = 0, max_bytes: int | None = None, wait: float = 0.0
    ) -> ProcessReadResult:
        """Return output that the executor retains, and the state of the process.

        It is asked again after a lost connection; that changes nothing on the executor.

        Args:
            after_seq: Last number already seen.
            max_bytes: Budget of payload; the first chunk comes whole in any case.
            wait: Seconds to wait for something to return.

        Returns:
            What the executor said. Once the process cannot be followed any more, an answer
            made here with ``failure`` set: this never raises for a lost connection.
        """
        params = ProcessReadParams(
            process_id=self._id, after_seq=after_seq, max_bytes=max_bytes, wait_ms=int(wait * 1000)
        )
        message = ""
        if self._failure is None:
            try:
                result = await self._session.call("process/read", params, idempotent=True)
                return ProcessReadResult.model_validate(result)
            except ClientError as error:
                message = str(error)
        return ProcessReadResult(
            chunks=[],
            next_seq=self._wake_value + 1,
            exited=True,
            closed=True,
            failure=str(self._failure) if self._failure else message,
        )

    async def write(self, data: bytes | str) -> None:
        """Write to stdin; returns when the executor has queued it.

        Concurrent writes are not mixed.

        Args:
            data: Text is sent as UTF-8.

        Raises:
            StdinClosedError: The process takes no input.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        view = memoryview(data.encode() if isinstance(data, str) else data)
        async with self._write_lock:
            for start in range(0, max(len(view), 1), _WRITE_BYTES):
                await self._write_piece(bytes(view[start : start + _WRITE_BYTES]))

    async def _write_piece(self, piece: bytes) -> None:
        self._writes += 1
        params = ProcessWriteParams(process_id=self._id, chunk=piece, write_id=str(self._writes))
        result = await self._session.call(
            "process/write", params, idempotent=self._session.options.replay_writes
        )
        self._check_stdin(result)

    def _check_stdin(self, result: object) -> None:
        status = result.get("status") if isinstance(result, dict) else None
        if status == "accepted":
            return
        if status == "stdinClosed":
            raise StdinClosedError("the process takes no input")
        raise ProcessBrokenError(f"the executor does not take input for the process: {status}")

    async def close_stdin(self) -> None:
        """End stdin after everything written so far.

        Raises:
            UnsupportedError: The executor cannot.
            StdinClosedError: It has no stdin.
        """
        self._session.require(CAPABILITY_CLOSE_STDIN, "close_stdin")
        async with self._write_lock:
            params = ProcessCloseStdinParams(process_id=self._id)
            result = await self._session.call("process/closeStdin", params, idempotent=True)
        self._check_stdin(result)

    async def resize(self, rows: int, cols: int) -> None:
        """Change the size of its terminal.

        Raises:
            UnsupportedError: The executor cannot.
            InvalidRequestError: It has no terminal.
        """
        self._session.require(CAPABILITY_RESIZE, "resize")
        params = ProcessResizeParams(process_id=self._id, rows=rows, cols=cols)
        await self._session.call("process/resize", params, idempotent=True)

    async def send_signal(self, signal: SignalName) -> None:
        """Send a signal to its group, or to the foreground group of its terminal.

        Raises:
            UnsupportedError: The executor knows ``interrupt`` only.
        """
        if signal != "interrupt":
            self._session.require(CAPABILITY_SIGNALS, f"send_signal({signal!r})")
        params = ProcessSignalParams(process_id=self._id, signal=signal)
        await self._session.call("process/signal", params)

    async def terminate(self) -> None:
        """Kill it and its process group. One that has ended is left alone."""
        await self._session.call("process/terminate", ProcessTerminateParams(process_id=self._id))

    async def communicate(self, input: bytes | str | None = None) -> tuple[bytes, bytes]:
        """Write ``input``, end stdin, and return all of stdout and stderr.

        Raises:
            UnsupportedError: There is input, and the executor cannot end stdin.
        """
        if input is not None:
            self._session.require(CAPABILITY_CLOSE_STDIN, "communicate with input")

        async def feed() -> None:
            if input is None:
                return
            try:
                await self.write(input)
                await self.close_stdin()
            except StdinClosedError:
                return  # it ended before it had read everything, which is its right

        async with asyncio.TaskGroup() as group:
            out = group.create_task(self.stdout.read())
            err = group.create_task(self.stderr.read())
            group.create_task(feed())
        return out.result(), err.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._over.is_set():
            return
        self.stdout.discard()
        self.stderr.discard()
        try:
            await self.terminate()
        except (ClientError, RpcError):
            return  # gone, or with a session that is lost and ends by itself
        if kind is None:
            await self._over.wait()
