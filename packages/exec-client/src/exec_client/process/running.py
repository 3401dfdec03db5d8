"""One command from its start to its end, with its output; what ``run`` does.

::

    start ── exit ── output is complete, or was silent for a while ── result
      └── timeout, or too much output ── SIGTERM ── SIGKILL ── what has arrived by then

Nothing here takes more memory than ``max_output`` says, whatever the command writes.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from traceback import clear_frames
from typing import Any, Final, Literal

from exec_server_protocol.errors import RpcError

from ..errors import (
    ClientError,
    OutputLimitError,
    ProcessFailedError,
    StdinClosedError,
    TimeoutExpired,
)
from ..home import running_loop
from .completed import CompletedProcess
from .kept_output import Keep
from .output import OutputStream
from .process import Process
from .sinks import Sink, Taker, make_taker
from .start_arguments import seconds, stdin_bytes

__all__ = ["DEFAULT_EOF_GRACE", "DEFAULT_MAX_OUTPUT", "Order"]

logger = logging.getLogger(__name__)

DEFAULT_MAX_OUTPUT: Final = 64 * 1024 * 1024
"""Of each stream, when nothing is said: as much as a client lets wait unread. More than anybody
looks at, and a command that writes without end must not take the caller's memory with it."""
DEFAULT_EOF_GRACE: Final = 0.5
"""Silence after the exit, in seconds: a shell's ``tee`` is done by then, on a busy machine too."""
_MOST_GRACES: Final = 10
"""What is left behind may write all the time; it is not followed for longer than so many."""
_KILL_SECONDS: Final = 0.2
"""For the end of a command that was killed, and its last output. A timeout holds within this:
an executor that is out of reach, or something that escaped from the group, is not waited for."""


class _TooMuchError(Exception):
    """A command has written more than it may."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command with its options; see ``Runner.run``. Wrong values are refused when it is made."""

    input: bytes | str | None = None
    timeout: float | None = None
    kill_after: float | None = None
    check: bool = False
    encoding: str | None = None
    errors: str = "replace"
    stdout: Sink | None = None
    stderr: Sink | None = None
    max_output: int | None = None
    keep: Keep = "both"
    when_full: Literal["drain", "kill"] = "drain"
    wait_for: Literal["eof", "exit"] = "eof"
    eof_grace: float | None = DEFAULT_EOF_GRACE

    def __post_init__(self) -> None:
        if self.input is not None:
            stdin_bytes(self.input, "input")
        for name in ("timeout", "kill_after", "eof_grace"):
            seconds(getattr(self, name), name)
        _one_of(self.keep, "keep", "head", "tail", "both")
        _one_of(self.when_full, "when_full", "drain", "kill")
        _one_of(self.wait_for, "wait_for", "eof", "exit")
        if self.max_output is not None:
            if not isinstance(self.max_output, int) or isinstance(self.max_output, bool):
                kind = type(self.max_output).__name__
                raise TypeError(f"max_output must be a number of bytes, not {kind}")
            if self.max_output < 0:
                raise ValueError(f"max_output must not be negative: {self.max_output}")
        try:
            codecs.lookup(self.encoding or "utf-8")
            codecs.lookup_error(self.errors)
        except LookupError as error:
            raise ValueError(f"encoding or errors: {error}") from None
        self.takers()

    def takers(self) -> tuple[Taker, Taker]:
        """Return what takes stdout and stderr."""

        def taker(sink: Sink | None) -> Taker:
            limit = self.max_output
            if limit is None and sink is None:
                limit = DEFAULT_MAX_OUTPUT
            return make_taker(sink, limit, self.keep, self.encoding, self.errors)

        return taker(self.stdout), taker(self.stderr)

    async def run(
        self, argv: list[str], start: Callable[[], Awaitable[Process]]
    ) -> CompletedProcess[Any]:
        """Start a command and follow it to its end."""
        out, err = self.takers()
        loop = running_loop()  # before anything else asks for one: the caller's may be trio's
        deadline = None if self.timeout is None else loop.time() + self.timeout
        try:
            async with asyncio.timeout_at(deadline):
                process = await start()
        except TimeoutError as error:  # what may have been started is ended by ``Starts``
            empty = out.value()
            raise TimeoutExpired(argv, self.timeout or 0, empty, empty) from error
        run = _Run(self, process, out, err)
        return await run.to_the_end(deadline)


def _one_of(value: object, name: str, *values: str) -> None:
    if value not in values:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, values))}, not {value!r}")


class _Run:
    """One command that is running."""

    def __init__(self, order: Order, process: Process, out: Taker, err: Taker) -> None:
        self._order = order
        self._process = process
        self._out = out
        self._err = err
        self._complete = True
        self._full = asyncio.Event()

    async def to_the_end(self, deadline: float | None) -> CompletedProcess[Any]:
        order, process = self._order, self._process
        expired = False
        try:
            async with asyncio.TaskGroup() as group:
                takers = [
                    group.create_task(self._take(process.stdout, self._out)),
                    group.create_task(self._take(process.stderr, self._err)),
                ]
                feeding = group.create_task(self._feed())
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._attend(takers)
                except TimeoutError:
                    expired = True
                    await self._end(takers)
                except _TooMuchError:
                    await self._end(takers)
                feeding.cancel()
        except BaseException as error:
            # Whatever happened, nobody attends the command any more.
            await process.__aexit__(type(error), error, None)
            # The frame of the group keeps the error, and the error that frame, and the process.
            clear_frames(error.__traceback__)
            if isinstance(error, BaseExceptionGroup):  # that there were tasks is nobody's business
                raise error.exceptions[0] from None
            raise
        out, err = self._out.value(), self._err.value()
        if expired:
            raise TimeoutExpired(process.argv, order.timeout or 0, out, err)
        returncode = process.returncode
        if returncode is None:  # killed for its output, and its end was not seen
            returncode = 128 + signal.SIGKILL
        dropped = self._out.dropped + self._err.dropped
        if order.check and returncode != 0:
            raise ProcessFailedError(process.argv, returncode, out, err)
        if dropped and order.max_output is None:
            raise OutputLimitError(process.argv, returncode, out, err, DEFAULT_MAX_OUTPUT)
        return CompletedProcess(
            process.argv,
            returncode,
            out,
            err,
            process.stdout.gaps + process.stderr.gaps,
            signal=process.signal,
            pid=process.pid,
            truncated=dropped > 0,
            dropped_bytes=dropped,
            complete=self._complete,
        )

    async def _take(self, stream: OutputStream, taker: Taker) -> None:
        async for piece in stream:
            await taker.take(piece)
            if taker.dropped and self._order.when_full == "kill":
                self._full.set()
        await taker.end()

    async def _feed(self) -> None:
        if self._order.input is None:
            return
        try:
            await self._process.write(self._order.input)
            await self._process.close_stdin()
        except StdinClosedError:
            return  # it ended before it had read everything, which is its right

    async def _attend(self, takers: list[asyncio.Task[None]]) -> None:
        """Return when the command has ended, with the output that is waited for.

        Raises:
            _TooMuchError: It has to be killed for its output.
        """
        exited = asyncio.ensure_future(self._process.wait_exited())
        ended = asyncio.ensure_future(self._process.wait())
        full = asyncio.ensure_future(self._full.wait())
        try:
            first: list[asyncio.Future[Any]] = [exited, full]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                await exited
                if self._order.wait_for == "eof":
                    await self._wait_for_output(ended, full)
            if full.done() and not self._process.ended:
                raise _TooMuchError
            self._cut_off()
            await asyncio.wait(takers)
        finally:
            for task in (exited, ended, full):
                task.cancel()
            await asyncio.gather(exited, ended, full, return_exceptions=True)

    async def _wait_for_output(
        self, ended: asyncio.Future[int], full: asyncio.Future[Literal[True]]
    ) -> None:
        """Wait for the end of the output, or for silence: who has it open may live for long."""
        grace, process = self._order.eof_grace, self._process
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            before = process.received_bytes
            waited_for: list[asyncio.Future[Any]] = [ended, full]
            done, _ = await asyncio.wait(
                waited_for, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            if grace is None or process.ordering.recovering or self._streams_ended:
                continue  # what was missed comes behind the exit; a sandbox is taken down
            silent = process.received_bytes == before
            if silent or loop.time() - started >= grace * _MOST_GRACES:
                return

    @property
    def _streams_ended(self) -> bool:
        return self._process.stdout.ended and self._process.stderr.ended

    def _cut_off(self) -> None:
        """Take no more output than has arrived. Takers end when they have got that."""
        if not self._process.ended:
            self._complete = self._streams_ended
            self._process.leave()

    async def _end(self, takers: list[asyncio.Task[None]]) -> None:
        """Kill the command, and wait for its last words for a moment."""
        kill_after = self._order.kill_after
        if kill_after is not None:
            await self._wait_ended(partial(self._process.ask_to_end, kill_after), kill_after)
        if not self._process.ended:
            await self._wait_ended(self._process.terminate, _KILL_SECONDS)
        self._cut_off()
        # A function or a file that is slow does not hold up the end.
        _, slow = await asyncio.wait(takers, timeout=_KILL_SECONDS / 4)
        for taker in slow:
            taker.cancel()

    async def _wait_ended(self, request: Callable[[], Awaitable[None]], limit: float) -> None:
        """Send a request and wait until the command has ended. What is late goes on by itself."""
        self._process.in_background(request)
        try:
            async with asyncio.timeout(limit):
                await self._process.wait()
        except (TimeoutError, ClientError, RpcError) as error:
            logger.debug("the end of a killed command was not seen: %s", type(error).__name__)
