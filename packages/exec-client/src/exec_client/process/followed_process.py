"""State of one process in the client: fed with events, read through streams and waits.

Everything here is local. It outlives connections: who feeds it, live events or a catch-up,
makes no difference to who reads.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from exec_server_protocol._names import OutputStream as StreamName
from exec_server_protocol._plain import ProcessCatchUpResult

from ..connection.generation import GenerationLost
from ..connection.persistence import SameFailure
from ..connection.read_budget import ReadBudget
from ..errors import ClientError, OutputLostError, ProcessBrokenError
from ..gaps import FAIL, OnLoss
from .catch_up import CatchUpError, GapError
from .event_log import EventLog
from .events import (
    ClosedEvent,
    ExitedEvent,
    FailedEvent,
    GapEvent,
    OutputEvent,
    ProcessEvent,
    SequencedEvent,
    StreamEnd,
    last_number,
)
from .ordering import Ordering, ReorderLimitError
from .output import OutputStream

__all__ = ["FollowedProcess"]


class FollowedProcess:
    """Events of one process, in order, and the tasks that wait for them.

    Attributes:
        stdout: Its output; everything it writes when it has a terminal.
        stderr: Its errors; empty when it has a terminal.
        ordering: Its sequence.
        recoverable: Whether recoveries have to catch up with it: its start was confirmed,
            and somebody has its handle.
        received_bytes: Output that was published.
        offsets: How much it has written to each stream up to the last published event, lost
            output included; ``None`` while that is unknown.
        tty: Whether it has a terminal.
        merged: Whether all of its output is in ``stdout``: it has a terminal, or its stderr was
            merged.
        on_loss: What becomes of it when output is lost.
        abandoned: Whether nobody wants it any more: its start was cancelled, or its answer
            lost. Its id stays taken until it is known to be ended.
    """

    def __init__(
        self,
        process_id: str,
        budget: ReadBudget,
        *,
        tty: bool = False,
        merged: bool = False,
        on_loss: OnLoss = FAIL,
    ) -> None:
        self._process_id = process_id
        self.tty = tty
        self.merged = tty or merged
        self.on_loss = on_loss
        self.stdout = OutputStream(budget, "pty" if tty else "stdout", on_loss)
        self.stderr = OutputStream(budget, "stderr", on_loss)
        if self.merged:
            self.stderr.end()
        self._ends: dict[StreamName, int] = {}
        """Streams that end once the event with this number is published."""
        self.ordering = Ordering()
        self.recoverable = False
        self.abandoned = False
        self._budget = budget
        self._log = EventLog(budget, gaps=on_loss.goes_on)
        self._returncode: int | None = None
        self._signal: int | None = None
        self._exited = asyncio.Event()
        self.received_bytes = 0
        self.offsets: Counter[StreamName] | None = Counter()
        self._waits = 0
        self._senseless = SameFailure()
        self._hopeless: str | None = None
        self._failure: ProcessBrokenError | None = None
        self._wake_value = 0
        self._wakers: set[asyncio.Future[None]] = set()
        self._over = asyncio.Event()

    # ------------------------------------------------------------------ filled by the client

    def receive(self, event: SequencedEvent | StreamEnd) -> bool:
        """Take a live event. Returns whether nothing more is wanted of this process."""
        if self._failure is not None:
            return True
        if isinstance(event, StreamEnd):
            self.streams_ended({event.stream: event.last_seq})
            return self.ordering.closed
        try:
            ready = self.ordering.apply(event)
        except ReorderLimitError as error:
            self.fail(str(error))
            return True
        self._wake(max(self._wake_value, last_number(event)))
        self.publish(ready)
        return self.ordering.closed

    def publish(self, events: Sequence[SequencedEvent]) -> None:
        """Publish events that are in order."""
        try:
            self._publish(events)
        finally:
            self._end_streams()

    def _publish(self, events: Sequence[SequencedEvent]) -> None:
        for event in events:
            if isinstance(event, OutputEvent):
                stream = self.stderr if event.stream == "stderr" else self.stdout
                stream.feed(event.data, event.seq)
                self.received_bytes += len(event.data)
                if self.offsets is not None:
                    self.offsets[event.stream] += len(event.data)
            elif isinstance(event, GapEvent):
                self._lost(event)
            elif isinstance(event, ExitedEvent):
                self._returncode, self._signal = event.exit_code, event.signal
                self._exited.set()
            self._log.publish(event)
            if isinstance(event, ClosedEvent):
                self._finish(None)

    def streams_ended(self, ends: Mapping[StreamName, int]) -> None:
        """Note the streams that are complete with the event of some number.

        The note may come before that event, after it, and again: the streams end in any case when
        everything up to it is published.
        """
        self._ends.update(ends)
        self._end_streams()

    def _end_streams(self) -> None:
        for name in [name for name, last in self._ends.items() if last <= self.ordering.last]:
            del self._ends[name]
            (self.stderr if name == "stderr" else self.stdout).end()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask for what was missed in the block.

        Raises:
            CatchUpError: The answers were no messages, each time: a connection for each of them.
        """
        if self._hopeless is not None:
            raise CatchUpError(f"{self._hopeless}, each time that it was asked about this process")
        try:
            yield
        except GenerationLost as error:
            if error.fault is not None and self._senseless.add(error.fault):
                self._hopeless = error.fault
            raise
        self._senseless = SameFailure()

    def _lost(self, gap: GapEvent) -> None:
        """Tell the readers of the streams that something of theirs is lost, or may be."""
        lost = {self.stdout: gap.stdout_bytes, self.stderr: 0 if self.merged else gap.stderr_bytes}
        for stream, size in lost.items():
            if size != 0:
                stream.feed_hole(gap.seq, gap.last_seq, size)
            if size is None:
                self.offsets = None
            elif self.offsets is not None:
                self.offsets[stream.name] += size

    @property
    def written_bytes(self) -> int:
        """Output up to the last published event, lost output included as far as it is known."""
        return self.received_bytes if self.offsets is None else sum(self.offsets.values())

    def synchronize(self, page: ProcessCatchUpResult) -> None:
        """Take from a page that was published how much was written, if it is not known."""
        if self.offsets is None and page.stream_offsets is not None:
            self.offsets = Counter(page.stream_offsets)
            for chunk in page.chunks:
                self.offsets[chunk.stream] += len(chunk.chunk)

    def caught_up(self, target: int) -> None:
        """Note that a catch-up has reached this number."""
        self.ordering.recovering = False
        self._wake(max(self._wake_value, target))

    def fail(self, message: str, cause: BaseException | None = None) -> None:
        """End it on this side: it cannot be followed any more. The first reason stays."""
        if self._failure is not None or self.ordering.closed:
            return
        if isinstance(cause, GapError):
            message += f"; {self.received_bytes} bytes had arrived, {cause.retained_bytes} are left"
            self._failure = OutputLostError(
                message,
                after_seq=cause.after_seq,
                oldest_seq=cause.oldest_seq,
                lost_bytes=cause.lost_bytes,
                received_bytes=self.received_bytes,
                retained_bytes=cause.retained_bytes,
            )
        else:
            self._failure = ProcessBrokenError(message)
        self._failure.__cause__ = cause
        self.ordering.clear()
        self._log.publish(FailedEvent(message))
        self._wake(self._wake_value + 1)
        self._finish(self._failure)

    def _finish(self, error: ClientError | None) -> None:
        self._ends.clear()
        self._exited.set()
        self.stdout.end(error)
        self.stderr.end(error)
        self._over.set()

    def _wake(self, value: int) -> None:
        self._wake_value = value
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    @property
    def wanted(self) -> bool:
        """Whether a task waits for output, an event or the end of this process."""
        streams = self.stdout.awaited or self.stderr.awaited
        return streams or self._waits > 0 or bool(self._wakers) or self._log.awaited

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Count a task that waits for something of this process in the block."""
        self._waits += 1
        try:
            with self._budget.waiting():
                yield
        finally:
            self._waits -= 1

    # ------------------------------------------------------------------ for the caller

    @property
    def process_id(self) -> str:
        """Its name in the session."""
        return self._process_id

    @property
    def returncode(self) -> int | None:
        """Exit code, 128 + N for signal N; ``None`` while it runs."""
        return self._returncode

    @property
    def signal(self) -> int | None:
        """The signal that ended it; ``None`` if none did, or if that is not known.

        An older executor does not tell, and a sandbox does not of what ended a command inside.
        """
        return self._signal

    @property
    def failure(self) -> ProcessBrokenError | None:
        """Reason why the process cannot be followed any more; ``None`` while it can."""
        return self._failure

    def events(self) -> AsyncIterator[ProcessEvent]:
        """Return output, exit and close in their order, from what is still kept.

        Kept are the last 256 events and 1 MiB. A subscriber that falls 256 events behind
        gets an ``OutputLostError`` once and goes on with the oldest that is left; ``read``
        returns what the executor still has of the rest. A caller
        that takes events does not have to read ``stdout`` and ``stderr``: unread, these two do
        not make the process wait, see ``OutputStream``.
        """
        self._mark_streams_expendable()
        return self._log.subscribe()

    async def wait(self) -> int:
        """Return the exit code once the process has ended and its output is complete.

        Output that nobody has begun to read does not block it; see ``OutputStream``.

        Raises:
            ProcessBrokenError: It cannot be followed any more.
        """
        self._mark_streams_expendable()
        if not self._over.is_set():
            with self._waiting():
                await self._over.wait()
        if self._failure is not None:
            raise self._failure
        if self._returncode is None:
            raise ProcessBrokenError("the process was closed without an exit code")
        return self._returncode

    async def wait_exited(self) -> int:
        """Return the exit code once the process has ended; what it left behind may still write.

        All that it wrote itself is in the streams then, unless the session is being resumed.
        Output that nobody has begun to read does not block it; see ``OutputStream``.

        Raises:
            ProcessBrokenError: It cannot be followed any more.
        """
        self._mark_streams_expendable()
        if not self._exited.is_set():
            with self._waiting():
                await self._exited.wait()
        if self._returncode is None:
            return await self.wait()
        return self._returncode

    def _mark_streams_expendable(self) -> None:
        self.stdout.mark_expendable()
        self.stderr.mark_expendable()

    async def wait_changed(self, seen: int = 0) -> int:
        """Wait until something newer than ``seen`` happened; return what to pass next time.

        The value never falls. Whatever happens after the call ends the wait, also if it does
        not raise the value. Several tasks may wait.
        """
        if self._wake_value <= seen:
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers.add(waker)
            try:
                with self._budget.waiting():
                    await waker
            finally:
                self._wakers.discard(waker)
        return self._wake_value
