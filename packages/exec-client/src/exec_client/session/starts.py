"""Starting processes so that no answer, cancellation or broken connection leaves one behind.

The request runs in a task that outlives its caller. If the answer is lost, nobody knows
whether the process runs: the caller is told at once, the process is ended as soon as there
is a connection again, and its id stays taken until then. It is never adopted and the start
is never repeated.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from exec_server_protocol._plain import (
    ProcessStartParams,
    ProcessStartResult,
    ProcessTerminateParams,
)
from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import PROCESS_START, PROCESS_TERMINATE
from exec_server_protocol.path_uri import InvalidPathError

from ..connection.answers import parse_answer
from ..connection.generation import Generation, GenerationLost
from ..errors import BadAnswerError, ClientClosedError, ClientError, ConnectionBrokenError
from ..gaps import FAIL, OnLoss
from ..process.process import Process
from ..process.start_errors import to_start_error

if TYPE_CHECKING:
    from exec_server_protocol._model import WireModel

__all__ = ["StartingClient", "Starts"]

logger = logging.getLogger(__name__)

_CLEAN_UPS_AT_ONCE: Final = 4
"""Calls go before them. On a link that breaks all the time, starts would be lost behind the
ends of starts that were lost before, and there would be more and more of both."""


class StartingClient(Protocol):
    """Interface of the client for starting a process."""

    async def live_generation(self) -> Generation:
        """Return the connection to use."""

    async def call(
        self, method: str, params: WireModel | None = None, *, idempotent: bool = False
    ) -> object:
        """Send a request."""

    def make_process(self, params: ProcessStartParams, on_loss: OnLoss) -> Process:
        """Return the object of a process."""

    def route(self, process: Process) -> None:
        """Send events to it."""

    def forget(self, process: Process) -> None:
        """Send it no more."""


def _caller_is_cancelled() -> bool:
    # Not in the frame that fails: the task keeps the error, which refers to that frame.
    caller = asyncio.current_task()
    return caller is None or bool(caller.cancelling())


class Starts:
    """The starts of one client, and the clean-up of those that went wrong."""

    def __init__(self, client: StartingClient) -> None:
        self._client = client
        self._active = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._clean_ups = asyncio.Semaphore(_CLEAN_UPS_AT_ONCE)

    async def start(self, params: ProcessStartParams, on_loss: OnLoss = FAIL) -> Process:
        """Start a process; see ``Client.start``. Cancelling it ends the process."""
        while True:
            generation = await self._client.live_generation()
            # No await from here to the task: a recovery that begins now waits for this start.
            process = self._client.make_process(params, on_loss)
            self._client.route(process)
            self._active += 1
            self._settled.clear()
            task = asyncio.get_running_loop().create_task(
                self._request(generation, process, params), name="exec-client-start"
            )
            self._keep(task)
            try:
                return await asyncio.shield(task)
            except GenerationLost:  # before anything was sent: the next one will do
                if not generation.lost:
                    await generation.wait_ended()
            except asyncio.CancelledError as error:
                if (
                    task.cancelled() and not _caller_is_cancelled()
                ):  # by aclose, which is nothing to the caller's task
                    text = "the client was closed"
                    raise ClientClosedError(text, maybe_executed=True) from error
                process.abandoned = True
                process.recoverable = False
                task.add_done_callback(partial(self._abandoned, process))
                raise
            finally:
                del task  # its error refers to this frame, which would refer to the error

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _abandoned(self, process: Process, done: asyncio.Task[Process]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._clean_up(process)

    async def _request(
        self, generation: Generation, process: Process, params: ProcessStartParams
    ) -> Process:
        try:
            answer = await generation.call(PROCESS_START.name, params.to_json())
            started = parse_answer(ProcessStartResult, answer, PROCESS_START)
            process.sandbox_type, process.pid = started.sandbox_type, started.pid
            # Before the count falls: recovery sees it for certain.
            process.recoverable = not process.abandoned
        except GenerationLost as error:
            if not error.sent:
                self._client.forget(process)
                raise
            self._clean_up(process)
            raise ConnectionBrokenError(
                f"{error}: the answer to process/start was lost", maybe_executed=True
            ) from error
        except BadAnswerError:
            self._clean_up(process)
            raise
        except RpcError as error:
            self._client.forget(process)
            told = to_start_error(error, params.argv[0], _folder(params))
            try:
                if told is error:
                    raise
                raise told from error
            finally:
                del told  # as above
        except BaseException:
            self._client.forget(process)
            raise
        finally:
            self._active -= 1
            if not self._active:
                self._settled.set()
        return process

    def _clean_up(self, process: Process) -> None:
        process.abandoned = True
        self._keep(
            asyncio.get_running_loop().create_task(
                self._terminate(process), name="exec-client-start-cleanup"
            )
        )

    async def _terminate(self, process: Process) -> None:
        params = ProcessTerminateParams.model_validate({"processId": process.process_id})
        try:
            async with self._clean_ups:
                await self._client.call(PROCESS_TERMINATE.name, params, idempotent=True)
        except (ClientError, RpcError) as error:
            logger.debug("a start was not cleaned up: %s", type(error).__name__)
        finally:
            self._client.forget(process)

    @property
    def active(self) -> int:
        """Starts whose answer is awaited."""
        return self._active

    async def wait_settled(self) -> None:
        """Wait until no start is in flight; clean-ups need a connection and are not waited for."""
        await self._settled.wait()

    async def aclose(self) -> None:
        """Cancel what is under way and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _folder(params: ProcessStartParams) -> str:
    try:
        return os.fsdecode(params.cwd.to_native())
    except InvalidPathError:  # a path of another system
        return str(params.cwd)
