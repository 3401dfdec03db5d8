"""Resuming a session after its connection was lost.

The order matters:

1. Starts that were in flight settle first: their answers are lost, or were just in time.
2. Attempts follow each other until the deadline, the first at once.
3. An attempt opens a connection, resumes the session and catches up with every process. Only
   then the client uses it, so that no call reaches the executor before.
4. A process that cannot be caught up with fails alone. A permanent error ends the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from exec_server_protocol._scalars import ProcessId
from exec_server_protocol.errors import RpcError, SessionAlreadyAttachedError
from exec_server_protocol.process import (
    CAPABILITY_OUTPUT_POLICY,
    ProcessReadParams,
    ProcessReadResult,
    ProcessTerminateParams,
)
from pydantic import ValidationError

from ..connection.generation import Generation, GenerationLost
from ..errors import ConnectError, RecoveryDeadlineError, SessionExpiredError, SessionLostError
from ..events import OutputEvent
from ..options import ClientOptions
from ..process import Process
from .catch_up import CatchUp, CatchUpError, merge

__all__ = ["Recoverable", "Resumed", "recover"]

logger = logging.getLogger(__name__)

_MAX_PAGES: Final = 100_000
"""For one process in one attempt; an executor that never comes to an end shall not hold us."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A connection that is caught up and ready to be used.

    Attributes:
        generation: The connection.
        recovered_bytes: Output that was made up for.
        attempts: How many it took.
    """

    generation: Generation
    recovered_bytes: int
    attempts: int


class Recoverable(Protocol):
    """What a recovery needs of its client."""

    options: ClientOptions

    async def wait_starts(self) -> None:
        """Wait until no start is in flight."""

    async def open_generation(self, *, resume: bool) -> Generation:
        """Connect and initialize."""

    def recoverable_processes(self) -> Iterable[Process]:
        """The processes to catch up with, as of now."""

    def supports(self, capability: str) -> bool:
        """Whether the executor announced a capability."""

    def forget(self, process: Process) -> None:
        """Route no more events to a process."""


async def recover(client: Recoverable, disconnect: str) -> Resumed:
    """Resume the session of ``client``.

    Args:
        client: Whose session.
        disconnect: Text about the lost connection, the beginning of every error.

    Raises:
        SessionLostError: It cannot be resumed, or not in time. Cancelling drops the attempt.
    """
    options = client.options
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.recovery_deadline
    prefix = f"{disconnect}; failed to resume exec-server session"
    too_late = f"{prefix}: recovery timed out after {options.recovery_deadline:g}s"
    if options.recovery_deadline <= 0:
        raise SessionLostError(disconnect)
    attempts = 0
    try:
        async with asyncio.timeout_at(deadline):
            await client.wait_starts()
            while True:
                attempts += 1
                error = await _attempt(client)
                if isinstance(error, tuple):
                    generation, recovered = error
                    return Resumed(generation, recovered, attempts)
                if not _is_retryable(error):
                    kind = SessionExpiredError if isinstance(error, RpcError) else SessionLostError
                    raise kind(f"{prefix}: {error}") from error
                logger.debug("attempt %d failed: %s", attempts, type(error).__name__)
                await asyncio.sleep(options.retry_delay)
    except TimeoutError as error:
        raise RecoveryDeadlineError(too_late) from error


async def _attempt(client: Recoverable) -> tuple[Generation, int] | Exception:
    """Try once; return the caught-up connection, or what went wrong."""
    generation: Generation | None = None
    done = False
    try:
        async with asyncio.timeout(client.options.attempt_timeout):
            generation = await client.open_generation(resume=True)
            recovered = 0
            for process in client.recoverable_processes():
                recovered += await _catch_up(client, generation, process)
            if generation.lost:
                return GenerationLost(sent=True)
            done = True
            return generation, recovered
    except (RpcError, ConnectError, GenerationLost, TimeoutError, ValueError) as error:
        return error
    finally:
        if generation is not None and not done:
            generation.abort()


def _is_retryable(error: Exception) -> bool:
    # Whether the peer refused the upgrade says little: a proxy in front may be starting too.
    return isinstance(
        error, SessionAlreadyAttachedError | ConnectError | GenerationLost | TimeoutError
    )


async def _catch_up(client: Recoverable, generation: Generation, process: Process) -> int:
    """Bring one process up to date. Returns the bytes of output that were missing."""
    try:
        catch_up = await _read_missed(client, generation, process)
        before = process.ordering.last
        ready = merge(process.ordering, catch_up)
    except (CatchUpError, RpcError, ValidationError) as error:
        await _give_up(client, generation, process, error)
        return 0
    recovered = sum(len(c.data) for c in catch_up.chunks if c.seq > before)
    process.publish(ready)
    process.caught_up(catch_up.next_seq - 1)
    if process.ordering.closed:
        client.forget(process)
    return recovered


async def _read_missed(client: Recoverable, generation: Generation, process: Process) -> CatchUp:
    """Read what was missed, in pages where the executor can have more than one answer holds.

    An executor may drop what a cursor has passed, so pages are kept with the process: when
    the connection breaks between two of them, the next attempt goes on where this one was.
    """
    catch_up = process.catch_up
    if catch_up is None:
        process.catch_up = catch_up = CatchUp()
    process.ordering.recovering = True
    page = client.options.catch_up_bytes if client.supports(CAPABILITY_OUTPUT_POLICY) else None
    for _ in range(_MAX_PAGES):
        last = catch_up.chunks[-1].seq if catch_up.chunks else 0
        after = max(last, process.ordering.last)
        answer = await _read(generation, process, after, page)
        for chunk in answer.chunks:
            if chunk.seq > after:
                catch_up.chunks.append(OutputEvent(chunk.seq, chunk.stream, chunk.chunk))
        if page is not None and _is_full(answer, page):
            continue
        if page is not None and answer.chunks:
            page = None  # the rest fits one answer, and that one tells the true end
            continue
        catch_up.next_seq = answer.next_seq
        catch_up.exited, catch_up.exit_code = answer.exited, answer.exit_code
        catch_up.closed, catch_up.sandbox_denied = answer.closed, answer.sandbox_denied
        return catch_up
    raise CatchUpError("the executor's answers do not come to an end")


def _is_full(answer: ProcessReadResult, page: int) -> bool:
    """Whether there may be more: nearly full, since a chunk that does not fit stays out."""
    return sum(len(chunk.chunk) for chunk in answer.chunks) >= page // 2


async def _read(
    generation: Generation, process: Process, after: int, max_bytes: int | None
) -> ProcessReadResult:
    params = ProcessReadParams(
        process_id=ProcessId(process.process_id), after_seq=after, max_bytes=max_bytes, wait_ms=0
    )
    result: Any = await generation.call("process/read", params.to_json())
    answer = ProcessReadResult.model_validate(result)
    if answer.failure is not None:
        raise CatchUpError(f"process failed while recovering: {answer.failure}")
    return answer


async def _give_up(
    client: Recoverable, generation: Generation, process: Process, error: Exception
) -> None:
    params = ProcessTerminateParams(process_id=ProcessId(process.process_id))
    try:
        await generation.call("process/terminate", params.to_json())
    except RpcError as refusal:
        logger.debug("a process that could not be recovered: %d", refusal.code)
    client.forget(process)
    text = "the answer has the wrong shape" if isinstance(error, ValidationError) else str(error)
    process.fail(f"failed to recover process {process.process_id}: {text}", error)
