"""A process on an executor, as its client sees it: what is known of it, and calls about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from traceback import clear_frames
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

from exec_server_protocol._names import ProcessId, SandboxType
from exec_server_protocol._plain import (
    ProcessCloseStdinParams,
    ProcessReadParams,
    ProcessResizeParams,
    ProcessSignalParams,
    ProcessTerminateParams,
    ProcessWriteParams,
)
from exec_server_protocol.capabilities import (
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_RESIZE,
    CAPABILITY_SIGNALS,
    CAPABILITY_TREES,
)
from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import (
    PROCESS_CLOSE_STDIN,
    PROCESS_READ,
    PROCESS_RESIZE,
    PROCESS_SIGNAL,
    PROCESS_TERMINATE,
    PROCESS_WRITE,
)

from ..connection.answers import parse_answer
from ..connection.calls import Caller, request
from ..errors import (
    BadAnswerError,
    ClientError,
    OutputLostError,
    ProcessBrokenError,
    StdinClosedError,
)
from ..gaps import FAIL, OnLoss
from .completed import CompletedProcess
from .events import OutputEvent, ProcessEvent
from .followed_process import FollowedProcess
from .start_arguments import (
    GRACE_MAX_SECONDS,
    Signal,
    arguments_named,
    grace_to_wire,
    seconds,
    signal_name,
    stdin_bytes,
)

if TYPE_CHECKING:
    from typing import Self

    from exec_server_protocol.process import ProcessReadResult

    from ..connection.background import BackgroundTasks
    from ..connection.input_share import InputShare
    from ..connection.read_budget import ReadBudget
    from ..options import ClientOptions

__all__ = ["CompletedProcess", "Process", "ProcessEvent"]

logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 2.0
"""For the last event of a process that has been killed: what it started and left behind may
hold its pipes for as long as it likes."""


class ProcessSession(Caller, Protocol):
    """The session that a process runs in, as the process sees it.

    Attributes:
        options: Settings.
        read_budget: Output that waits to be read, over all processes.
        input_share: Input that waits for its answers, over all processes.
        background: Clean-ups that nobody waits for.
    """

    options: ClientOptions
    read_budget: ReadBudget
    input_share: InputShare
    background: BackgroundTasks

    def forget(self, process: FollowedProcess) -> None:
        """Route no more events to a process."""


class Process(FollowedProcess):
    """A process of a client's session. Made by ``Client.start``.

    It survives lost connections: as long as the client recovers, nothing here notices. With
    ``async with`` it is terminated at the end of the block if it still runs; just dropping
    the object leaves it running until its session ends.

    Of its calls, ``read``, ``close_stdin`` and ``resize`` are repeated when a connection
    breaks before the answer: doing them twice is doing them once. The others raise
    ``ConnectionBrokenError`` then.

    Attributes:
        argv: What was started.
        sandbox_type: What confines it.
        pid: Its number on the executor, or that of what confines it; ``None`` where the
            executor does not tell.
    """

    def __init__(
        self,
        session: ProcessSession,
        process_id: str,
        argv: Sequence[str],
        *,
        tty: bool,
        merged: bool = False,
        on_loss: OnLoss = FAIL,
    ) -> None:
        super().__init__(process_id, session.read_budget, tty=tty, merged=merged, on_loss=on_loss)
        self._session = session
        self._id = ProcessId(process_id)
        self.argv = list(argv)
        self.sandbox_type: SandboxType = "none"
        self.pid: int | None = None
        self._write_lock = asyncio.Lock()
        self._resize_lock = asyncio.Lock()
        self._writes = 0

    def __repr__(self) -> str:
        state = "failed" if self._failure else "closed" if self.ordering.closed else "open"
        return f"<Process {state} returncode={self._returncode}>"

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
            What the executor said. Once the process or the session is lost, an answer made
            here with ``failure`` set, even for a process that was closed before: this never
            raises for a lost connection. A process that failed for lost output can be read on.

        Raises:
            RpcError: The executor refused, for instance because it has forgotten the process.
            BadAnswerError: Its answer is malformed.
        """
        from exec_server_protocol.process import ProcessReadResult  # which takes time to load

        wait_ms = int((seconds(wait, "wait") or 0) * 1000)
        with arguments_named():
            params = ProcessReadParams(
                process_id=self._id, after_seq=after_seq, max_bytes=max_bytes, wait_ms=wait_ms
            )
        message = ""
        if self._failure is None or isinstance(self._failure, OutputLostError):
            try:
                with self._waiting():
                    result = await request(self._session, PROCESS_READ, params)
                return parse_answer(ProcessReadResult, result, PROCESS_READ)
            except BadAnswerError:
                raise
            except ClientError as error:
                message = str(error)
        return ProcessReadResult(
            chunks=[],
            next_seq=self._wake_value + 1,
            exited=True,
            closed=True,
            failure=str(self._failure) if self._failure else message,
        )

    async def retained(self, after_seq: int = 0) -> AsyncIterator[OutputEvent]:
        """Yield the output that the executor still has, page by page, to what it has by now.

        It is also there after an ``OutputLostError``: from its ``oldest_seq`` on, for as long as
        the executor keeps an ended process. What is asked for after a number counts as had up
        to it: once the next page is asked for, the one before may be gone.

        Args:
            after_seq: Last number already seen.

        Raises:
            RpcError: The executor has forgotten the process.
            ProcessBrokenError: It, or the session, is lost.
        """
        size = self._session.options.catch_up_bytes
        while True:
            page = await self.read(after_seq, size)
            if page.failure is not None:
                raise ProcessBrokenError(page.failure)
            for chunk in page.chunks:
                yield OutputEvent(chunk.seq, chunk.stream, chunk.chunk)
            if not page.chunks or page.chunks[-1].seq <= after_seq:
                return
            after_seq = page.chunks[-1].seq

    async def write(self, data: bytes | str) -> None:
        """Write to stdin; returns when the executor has queued it.

        Concurrent writes are not mixed. It goes in pieces of 1 MiB, smaller ones while much
        other input waits; cancelling may leave it cut off between two.

        Args:
            data: Text is sent as UTF-8.

        Raises:
            TypeError: It is neither text nor bytes; nothing was sent.
            StdinClosedError: The process takes no input, or has ended as far as is known here.
            ConnectionBrokenError: The answer was lost; ``maybe_executed`` is true.
        """
        view = stdin_bytes(data, "data")
        async with self._write_lock:
            share = self._session.input_share
            while True:
                piece = bytes(view[: share.piece])
                view = view[len(piece) :]
                with share.sending(len(piece)):
                    await self._write_piece(piece)
                if not view:
                    return

    async def _write_piece(self, piece: bytes) -> None:
        if self._returncode is not None:  # executors take it, and drop it
            raise StdinClosedError("the process has ended")
        self._writes += 1
        params = ProcessWriteParams(process_id=self._id, chunk=piece, write_id=str(self._writes))
        result = await request(
            self._session, PROCESS_WRITE, params, idempotent=self._session.options.replay_writes
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
            result = await request(self._session, PROCESS_CLOSE_STDIN, params)
        self._check_stdin(result)

    async def resize(self, rows: int, cols: int) -> None:
        """Change the size of its terminal.

        Raises:
            UnsupportedError: The executor cannot.
            InvalidRequestError: It has no terminal.
        """
        self._session.require(CAPABILITY_RESIZE, "resize")
        with arguments_named():
            params = ProcessResizeParams(process_id=self._id, rows=rows, cols=cols)
        async with self._resize_lock:  # so that a repeated one cannot come after a later one
            await request(self._session, PROCESS_RESIZE, params)

    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to its group, or to the foreground group of its terminal.

        Args:
            signal: By its name in the protocol, or as ``signal.SIGTERM`` or its number.

        Raises:
            ValueError: The protocol has no such signal; nothing was sent.
            UnsupportedError: The executor knows ``interrupt`` only.
        """
        name = signal_name(signal)
        if name != "interrupt":
            self._session.require(CAPABILITY_SIGNALS, f"send_signal({name!r})")
        params = ProcessSignalParams(process_id=self._id, signal=name)
        await request(self._session, PROCESS_SIGNAL, params)

    async def terminate(self, *, grace: float = 0) -> None:
        """Kill it, with all that it has started and that those have, whatever became of them.

        Args:
            grace: Seconds that they get to end by themselves: SIGTERM is sent now, and what is left
                then is killed. This call does not wait for that. At most an hour.

        Raises:
            UnsupportedError: With ``grace``: the executor cannot do that.
        """
        grace_ms = grace_to_wire(grace)
        if grace_ms is not None:
            self._session.require(CAPABILITY_TREES, "terminate with grace")
        params = ProcessTerminateParams(process_id=self._id, grace_ms=grace_ms)
        await request(self._session, PROCESS_TERMINATE, params)

    async def ask_to_end(self, grace: float) -> None:
        """Terminate it with ``grace``, or send SIGTERM where the executor cannot do that."""
        if grace <= GRACE_MAX_SECONDS and self._session.supports(CAPABILITY_TREES):
            await self.terminate(grace=grace)
        else:
            await self.send_signal("terminate")

    async def communicate(self, input: bytes | str | None = None) -> tuple[bytes, bytes]:
        """Write ``input``, end stdin, and return all of stdout and stderr.

        When it fails or is cancelled, what has arrived can still be read from the streams.

        Raises:
            UnsupportedError: There is input, and the executor cannot end stdin.
            ConnectionBrokenError: The answer to a write was lost.
            ProcessBrokenError: The process cannot be followed any more.
        """
        if input is not None:
            stdin_bytes(input, "input")
            self._session.require(CAPABILITY_CLOSE_STDIN, "communicate with input")

        async def feed() -> None:
            if input is None:
                return
            try:
                await self.write(input)
                await self.close_stdin()
            except StdinClosedError:
                return  # it ended before it had read everything, which is its right

        try:
            async with asyncio.TaskGroup() as group:
                out = group.create_task(self.stdout.read())
                err = group.create_task(self.stderr.read())
                group.create_task(feed())
        except BaseExceptionGroup as failures:  # that there were tasks is nobody's business
            clear_frames(failures.__traceback__)
            raise failures.exceptions[0] from None
        except BaseException as error:
            # The frame of the group keeps the error, and the error that frame, and this process.
            clear_frames(error.__traceback__)
            raise
        return out.result(), err.result()

    # ------------------------------------------------------------------ end

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it: it has ended with its output, or cannot be followed."""
        return self._over.is_set()

    def leave(self) -> None:
        """Stop following the process, which may run on. What has arrived can still be read."""
        self.recoverable = False
        self._session.forget(self)
        self._finish(None)

    def in_background(self, request: Callable[[], Awaitable[None]]) -> None:
        """Send a request without waiting for the answer; it goes on when the caller is gone."""

        async def send() -> None:
            try:
                await request()
            except (ClientError, RpcError) as error:
                logger.debug("a request about a process failed: %s", type(error).__name__)

        self._session.background.start(send(), "exec-client-process-request")

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
            if kind is None:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    with self._waiting():
                        await self._over.wait()
        except (ClientError, RpcError, TimeoutError):
            return  # gone, or held open by something that is not ours to end
