"""Resuming a session after its connection was lost.

The order matters:

1. Starts that were in flight settle first: their answers are lost, or were just in time.
2. Attempts follow each other until the deadline, the first at once.
3. An attempt opens a connection, resumes the session and catches up with every process, a few
   at a time. Only then the client uses it, so that no call reaches the executor before.
4. A process that cannot be caught up with fails alone. A permanent error ends the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from exec_server_protocol._scalars import ProcessId
from exec_server_protocol.errors import (
    InvalidRequestError,
    RpcError,
    SessionAlreadyAttachedError,
)
from exec_server_protocol.process import (
    CAPABILITY_OUTPUT_POLICY,
    ProcessReadParams,
    ProcessReadResult,
    ProcessTerminateParams,
)
from pydantic import ValidationError

from ..connection.generation import Generation, GenerationLost
from ..errors import (
    AccessDeniedError,
    ConnectError,
    InsecureTokenError,
    RecoveryDeadlineError,
    SessionExpiredError,
    SessionLostError,
    TlsError,
)
from ..events import OutputEvent
from ..followed_process import FollowedProcess
from ..options import ClientOptions
from .catch_up import CatchUp, CatchUpError, merge

__all__ = ["Recoverable", "Resumed", "recover"]

logger = logging.getLogger(__name__)

_MAX_PAGES: Final = 100_000
"""For one process in one attempt; an executor that never comes to an end shall not hold us."""

_CATCH_UPS_AT_ONCE: Final = 16
"""Processes: enough for a thousand of them to be read within an attempt when a round trip
takes a tenth of a second, and few enough for the pages that are under way to fit in memory."""


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

    def recoverable_processes(self) -> Iterable[FollowedProcess]:
        """The processes to catch up with, as of now."""

    def supports(self, capability: str) -> bool:
        """Whether the executor announced a capability."""

    def forget(self, process: FollowedProcess) -> None:
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
    progress = _Progress()
    try:
        async with asyncio.timeout_at(deadline):
            await client.wait_starts()
            while True:
                progress.attempts += 1
                result = await _attempt(client, progress)
                if isinstance(result, Generation):
                    return Resumed(result, progress.recovered_bytes, progress.attempts)
                if not _is_retryable(result):
                    unknown = isinstance(result, InvalidRequestError)
                    kind = SessionExpiredError if unknown else SessionLostError
                    raise kind(f"{prefix}: {result}") from result
                logger.debug("attempt %d failed: %s", progress.attempts, type(result).__name__)
                await asyncio.sleep(options.retry_delay)
    except TimeoutError as error:
        raise RecoveryDeadlineError(too_late) from error


@dataclass(slots=True)
class _Progress:
    """What the attempts of one recovery have come to: a later one builds on earlier ones."""

    attempts: int = 0
    recovered_bytes: int = 0


async def _attempt(client: Recoverable, progress: _Progress) -> Generation | Exception:
    """Try once; return the caught-up connection, or what went wrong."""
    # Higher numbers will be live events of this attempt's connection, and those have no hole.
    known = {process: process.ordering.highest for process in client.recoverable_processes()}
    for process in known:
        # Also one that an earlier attempt has caught up with: it is behind again.
        process.ordering.recovering = True
    generation: Generation | None = None
    done = False
    try:
        async with asyncio.timeout(client.options.attempt_timeout):
            generation = await client.open_generation(resume=True)
            await _catch_up_with_all(client, generation, known, progress)
            if generation.lost:
                return GenerationLost(sent=True)
            done = True
            return generation
    except (RpcError, ConnectError, GenerationLost, TimeoutError, ValueError) as error:
        return error
    finally:
        if generation is not None and not done:
            generation.abort()
            await generation.wait_ended()  # nothing of it may come once the next one begins


def _is_retryable(error: Exception) -> bool:
    # Whether the peer refused the upgrade says little: a proxy in front may be starting too.
    # But no executor changes its mind about a token or a certificate by being asked again.
    if isinstance(error, AccessDeniedError | TlsError | InsecureTokenError):
        return False
    return isinstance(
        error, SessionAlreadyAttachedError | ConnectError | GenerationLost | TimeoutError
    )


async def _catch_up_with_all(
    client: Recoverable,
    generation: Generation,
    known: Mapping[FollowedProcess, int],
    progress: _Progress,
) -> None:
    """Bring every process up to date, several at a time: each takes a round trip or more."""
    waiting = iter(client.recoverable_processes())

    async def work() -> None:
        for process in waiting:
            recovered = await _catch_up(client, generation, process, known)
            progress.recovered_bytes += recovered

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CATCH_UPS_AT_ONCE):
                group.create_task(work(), name="exec-client-catch-up")
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _catch_up(
    client: Recoverable,
    generation: Generation,
    process: FollowedProcess,
    known: Mapping[FollowedProcess, int],
) -> int:
    """Bring one process up to date. Returns the bytes of output that were missing."""
    try:
        catch_up = await _read_missed(client, generation, process, known.get(process, 0))
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


async def _read_missed(
    client: Recoverable, generation: Generation, process: FollowedProcess, known: int
) -> CatchUp:
    """Read what was missed, in pages where the executor can have more than one answer holds.

    It is complete when an answer has no output any more, or when the next event has already
    come over this connection: a process that never stops writing would have no last page.

    An executor may drop what a cursor has passed, so pages are kept with the process: when
    the connection breaks between two of them, the next attempt goes on where this one was.

    ``known`` is the highest number that was seen before this connection was made.
    """
    catch_up = process.catch_up
    if catch_up is None:
        process.catch_up = catch_up = CatchUp()
    page = client.options.catch_up_bytes if client.supports(CAPABILITY_OUTPUT_POLICY) else None
    for _ in range(_MAX_PAGES):
        last = catch_up.chunks[-1].seq if catch_up.chunks else 0
        after = max(last, process.ordering.last)
        answer = await _read(generation, process, after, page)
        for chunk in answer.chunks:
            if chunk.seq > after:
                catch_up.chunks.append(OutputEvent(chunk.seq, chunk.stream, chunk.chunk))
        catch_up.exited, catch_up.exit_code = answer.exited, answer.exit_code
        catch_up.closed, catch_up.sandbox_denied = answer.closed, answer.sandbox_denied
        if page is None or not answer.chunks:
            catch_up.next_seq, catch_up.partial = answer.next_seq, False
            return catch_up
        cursor = answer.chunks[-1].seq
        if cursor <= after:
            break
        if cursor >= known and cursor + 1 in process.ordering.pending:
            catch_up.next_seq, catch_up.partial = cursor + 1, True
            return catch_up
    raise CatchUpError("the executor's answers do not come to an end")


async def _read(
    generation: Generation, process: FollowedProcess, after: int, max_bytes: int | None
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
    client: Recoverable, generation: Generation, process: FollowedProcess, error: Exception
) -> None:
    params = ProcessTerminateParams(process_id=ProcessId(process.process_id))
    try:
        await generation.call("process/terminate", params.to_json())
    except RpcError as refusal:
        logger.debug("a process that could not be recovered: %d", refusal.code)
    client.forget(process)
    text = "the answer has the wrong shape" if isinstance(error, ValidationError) else str(error)
    process.fail(f"failed to recover process {process.process_id}: {text}", error)
