"""Resuming a session after its connection was lost.

The order matters:

1. Starts that were in flight settle first: their answers are lost, or were just in time.
2. Attempts follow each other until the deadline, the first at once.
3. An attempt opens a connection, resumes the session and asks for every process, a few at a time.
   Only then the client uses it, so that no call reaches the executor before.
4. A process that cannot be caught up with fails alone. A permanent error ends the client.

An executor that knows ``process/catchUp`` is asked first only what each process missed: one that
missed nothing is back with that, and the rest follows in pages while the client is in use again
(``catching_up``). From any other, all of it comes in one answer, to be merged with live events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from exec_server_protocol._names import ProcessId
from exec_server_protocol._plain import ProcessReadParams, ProcessReadResult, ShapeError
from exec_server_protocol.capabilities import CAPABILITY_CATCH_UP
from exec_server_protocol.errors import (
    InvalidRequestError,
    RpcError,
    SessionAlreadyAttachedError,
)
from exec_server_protocol.methods import PROCESS_READ

from ..connection.generation import Generation, GenerationLost
from ..connection.persistence import SameFailure
from ..connection.read_budget import ReadBudget
from ..errors import (
    AccessDeniedError,
    ConnectError,
    InsecureTokenError,
    RecoveryDeadlineError,
    SessionExpiredError,
    SessionLostError,
    TlsError,
)
from ..options import ClientOptions
from ..process.catch_up import CatchUp, CatchUpError, merge
from ..process.events import OutputEvent
from ..process.followed_process import FollowedProcess
from .catching_up import take_page
from .giving_up import give_up
from .patience import patience

__all__ = ["Recoverable", "Resumed", "recover"]

logger = logging.getLogger(__name__)

_ASKED_AT_ONCE: Final = 16
"""Processes: enough for a thousand of them to be asked for within an attempt when a round trip
takes a tenth of a second, and few enough for answers with all that was missed to fit in memory."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A connection that is ready to be used.

    Attributes:
        generation: The connection.
        recovered_bytes: Output that was missed, whether it is here already or follows.
        attempts: How many it took.
        missed: Processes that are still to be caught up with, and the bytes that each missed.
    """

    generation: Generation
    recovered_bytes: int
    attempts: int
    missed: dict[FollowedProcess, int]


class Recoverable(Protocol):
    """Interface of the client for a recovery."""

    options: ClientOptions
    read_budget: ReadBudget

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


async def recover(client: Recoverable, disconnect: str, pause: float = 0.0) -> Resumed:
    """Resume the session of ``client``.

    Args:
        client: Whose session.
        disconnect: Text about the lost connection, the beginning of every error.
        pause: Seconds before the first attempt; they count in the deadline.

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
        async with asyncio.timeout_at(deadline) as limit:
            await asyncio.sleep(pause)
            await client.wait_starts()
            while True:
                progress.attempts += 1
                result = await _attempt(client, progress, limit)
                if isinstance(result, Generation):
                    recovered = progress.merged_bytes + sum(progress.missed.values())
                    return Resumed(result, recovered, progress.attempts, progress.missed)
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
    """Results of the attempts of one recovery so far."""

    attempts: int = 0
    opening: SameFailure = field(default_factory=SameFailure)
    merged_bytes: int = 0
    missed: dict[FollowedProcess, int] = field(default_factory=dict)


async def _attempt(
    client: Recoverable, progress: _Progress, deadline: asyncio.Timeout
) -> Generation | Exception:
    """Try once; return the connection, or what went wrong."""
    for process in client.recoverable_processes():
        # Also one that an earlier attempt has caught up with: it is behind again.
        process.ordering.recovering = True
    progress.missed.clear()
    generation: Generation | None = None
    done = False
    try:
        async with asyncio.timeout(client.options.attempt_timeout) as limit:
            generation = await _open(client, progress)
            async with patience(generation, limit, deadline):
                await _ask_for_all(client, generation, progress)
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


async def _open(client: Recoverable, progress: _Progress) -> Generation:
    try:
        return await client.open_generation(resume=True)
    except GenerationLost as error:
        if error.fault is not None and progress.opening.add(error.fault):
            raise ValueError(f"{error.fault}, each time that initialize was called") from error
        raise


def _is_retryable(error: Exception) -> bool:
    # Whether the peer refused the upgrade says little: a proxy in front may be starting too.
    # But no executor changes its mind about a token or a certificate by being asked again.
    if isinstance(error, AccessDeniedError | TlsError | InsecureTokenError):
        return False
    return isinstance(
        error, SessionAlreadyAttachedError | ConnectError | GenerationLost | TimeoutError
    )


async def _ask_for_all(client: Recoverable, generation: Generation, progress: _Progress) -> None:
    """Ask for every process, several at a time: each takes a round trip."""
    waiting = iter(client.recoverable_processes())
    ask = _look if client.supports(CAPABILITY_CATCH_UP) else _catch_up

    async def work() -> None:
        for process in waiting:
            await ask(client, generation, process, progress)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_ASKED_AT_ONCE):
                group.create_task(work(), name="exec-client-catch-up")
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _look(
    client: Recoverable, generation: Generation, process: FollowedProcess, progress: _Progress
) -> None:
    """Ask what one process missed. One that missed no output is up to date with the answer."""
    page = await take_page(client, generation, process, 0)
    if page is not None and not page.live:
        progress.missed[process] = max(0, page.output_bytes - process.written_bytes)


async def _catch_up(
    client: Recoverable, generation: Generation, process: FollowedProcess, progress: _Progress
) -> None:
    """Bring one process up to date with one answer."""
    try:
        with process.asked():
            answer = await _read_missed(generation, process)
        catch_up = _to_catch_up(answer)
        before = process.ordering.last
        ready = merge(process.ordering, catch_up, fill=process.on_loss.goes_on)
    except (CatchUpError, RpcError, ShapeError) as error:
        await give_up(client, generation, process, error)
        return
    progress.merged_bytes += sum(len(c.data) for c in catch_up.chunks if c.seq > before)
    process.publish(ready)
    process.streams_ended(answer.stream_ends or {})
    process.caught_up(catch_up.next_seq - 1)
    if process.ordering.closed:
        client.forget(process)


async def _read_missed(generation: Generation, process: FollowedProcess) -> ProcessReadResult:
    params = ProcessReadParams(
        process_id=ProcessId(process.process_id),
        after_seq=process.ordering.last,
        max_bytes=None,
        wait_ms=0,
    )
    result: Any = await generation.call(PROCESS_READ.name, params.to_json())
    return ProcessReadResult.model_validate(result)


def _to_catch_up(answer: ProcessReadResult) -> CatchUp:
    if answer.failure is not None:
        raise CatchUpError(f"process failed while recovering: {answer.failure}")
    return CatchUp(
        chunks=[OutputEvent(chunk.seq, chunk.stream, chunk.chunk) for chunk in answer.chunks],
        next_seq=answer.next_seq,
        exited=answer.exited,
        exit_code=answer.exit_code,
        closed=answer.closed,
        sandbox_denied=answer.sandbox_denied,
        signal=answer.signal,
    )
