"""The catch-up of the processes that missed output, while the client is in use again.

It goes page by page, over the connection that everything else uses. Each page is asked for with
the last published number, checked, published and freed; so a connection that breaks costs at most
the pages that were under way, and the next one goes on where this one was.

* Fair: the process that got least goes first, and of several the one that missed least.
* Bounded: a page is asked for when there is room for it (``ReadBudget.admits``). The catch-up of a
  process that nobody reads waits; those of others, and calls, do not. Its output stays with the
  executor, which holds the process up.
* Not for ever: an executor that leaves a page unanswered loses its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exec_server_protocol._names import ProcessId
from exec_server_protocol._plain import ProcessCatchUpParams, ProcessCatchUpResult, ShapeError
from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import PROCESS_CATCH_UP

from ..connection.generation import Generation, GenerationLost
from ..process.catch_up import CatchUpError
from ..process.followed_process import FollowedProcess
from .giving_up import give_up
from .pace import Pace
from .pages import events_of_page
from .patience import patience

if TYPE_CHECKING:
    from .recovery import Recoverable

__all__ = ["PAGES_AT_ONCE", "CatchingUp", "take_page"]

logger = logging.getLogger(__name__)

PAGES_AT_ONCE: Final = 4
"""Enough for the link to be busy while one of them is being published."""


async def take_page(
    client: Recoverable, generation: Generation, process: FollowedProcess, max_bytes: int
) -> ProcessCatchUpResult | None:
    """Ask for one page of a process and publish it; ``None`` when it cannot be followed any more.

    Raises:
        GenerationLost: The connection is over. Nothing of the page was published.
    """
    after = process.ordering.last
    params = ProcessCatchUpParams(
        process_id=ProcessId(process.process_id), after_seq=after, max_bytes=max_bytes
    )
    try:
        with process.asked():
            answer = await generation.call(PROCESS_CATCH_UP.name, params.to_json(), to_the_end=True)
        page = ProcessCatchUpResult.model_validate(answer)
        events = events_of_page(page, after, fill=process.on_loss.goes_on, offsets=process.offsets)
        if max_bytes and not events and not page.live:
            raise CatchUpError("the executor's answers do not come to an end")
    except (CatchUpError, RpcError, ShapeError) as error:
        await give_up(client, generation, process, error)
        return None
    over = False
    for event in events:
        over = process.receive(event)
        if over:
            break
        if client.read_budget.take_yield_request():
            await asyncio.sleep(0)  # a subscriber shall have the chance to keep up
    process.synchronize(page)
    process.streams_ended(page.stream_ends or {})
    if page.live:
        process.caught_up(page.next_seq - 1)
    if over:
        client.forget(process)
    return page


@dataclass(slots=True)
class _Share:
    """Bytes that a process missed when its session was resumed, and those that it has got since."""

    missed: int
    got: int = field(default=0)

    @property
    def rank(self) -> tuple[int, int]:
        return self.got, self.missed


class CatchingUp:
    """The catch-up over one connection.

    Args:
        client: Whose processes.
        generation: The connection.
        missed: The processes, and how many bytes each of them missed.
    """

    def __init__(
        self, client: Recoverable, generation: Generation, missed: Mapping[FollowedProcess, int]
    ) -> None:
        self._client = client
        self._generation = generation
        self._budget = client.read_budget
        self._idle = {process: _Share(size) for process, size in missed.items()}
        at_once = max(1, min(PAGES_AT_ONCE, len(missed)))
        self._at_once = at_once
        self._choosing = asyncio.Lock()
        options = client.options
        # A page takes several times its size while it is decoded.
        largest = min(options.catch_up_bytes, options.max_buffered_bytes // 8)
        self._pace = Pace(largest, at_once)

    async def run(self) -> None:
        """Catch up with all of them. Ends with the connection, and raises nothing."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._work(), name="exec-client-catch-up")

    async def _work(self) -> None:
        # It never raises, or the group would cancel another in the middle of a page. What is
        # left after an abort is caught up with over the next connection.
        try:
            await self._take_pages()
        except GenerationLost:
            return
        except TimeoutError:
            logger.warning("the executor leaves a page of missed output unanswered")
            self._generation.abort()
        except Exception:
            logger.exception("a catch-up failed")
            self._generation.abort()

    async def _take_pages(self) -> None:
        # As many workers as processes at first: one that finds none idle has nothing left to do.
        while (turn := await self._next_turn()) is not None:
            process, share, size = turn
            if not process.recoverable or process.failure is not None:
                continue
            with self._budget.reserve(size):
                before = process.received_bytes
                live = await self._page(process, size)
            share.got += process.received_bytes - before
            if not live:
                self._idle[process] = share

    async def _next_turn(self) -> tuple[FollowedProcess, _Share, int] | None:
        """Wait until a page may be asked for; ``None`` when there is nothing left to do."""
        async with self._choosing:  # each change of the budget is looked at by one worker
            while self._idle and not self._generation.lost:
                size = self._pace.page_bytes
                process = self._choose(size)
                if process is not None:
                    return process, self._idle.pop(process), size
                await self._budget.wait_changed()
        return None

    def _choose(self, size: int) -> FollowedProcess | None:
        """Return the process whose turn it is, of those that there is room for."""
        if self._budget.admits(size, wanted=False):
            candidates = list(self._idle)
        else:
            candidates = [process for process in self._idle if process.wanted]
            if candidates and not self._budget.admits(size, wanted=True):
                return None
        return min(candidates, key=lambda process: self._idle[process].rank, default=None)

    async def _page(self, process: FollowedProcess, size: int) -> bool:
        """Take one page. Returns whether nothing more is to be asked for."""
        generation = self._generation
        loop = asyncio.get_running_loop()
        received, asked = generation.received, loop.time()
        async with asyncio.timeout(self._client.options.attempt_timeout) as limit:
            async with patience(generation, limit):
                page = await take_page(self._client, generation, process, size)
        self._pace.arrived(generation.received - received, loop.time() - asked)
        return page is None or page.live
