"""Threads that look at the file system for a start, bounded and shared by all sessions.

A working directory on a dead network mount blocks whoever looks at it, for ever. It then
blocks one of these threads and the start that asked, and nothing else; a start that gets
no answer in time fails.

A sandboxed start takes three steps: it is prepared in a thread, spawned on the event loop,
and examined in a thread before anything of it runs. What a sandbox needs outside is given
back in a thread, when it has ended.

A policy with deny patterns has the disk searched, for seconds when it is meant to take long.
Such looks have threads of their own, so that no other has to wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import SpawnError
from ..runtime.open_files import restore_open_files_limit
from ..runtime.threads import BlockingThreads
from ..sandbox.errors import SandboxUnavailableError
from .launch import Launch
from .spawn import Child, SpawnRequest, prepare

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

    from .keeper import Keeper

__all__ = ["LaunchThreads"]

T = TypeVar("T")

_THREADS: Final = 8
"""Looking takes microseconds; more than one thread only matters when some are stuck."""
_TIMEOUT_SECONDS: Final = 30.0
"""Longer than a busy network file system takes, shorter than a person waits."""
_LAST_WORDS_BYTES: Final = 1024
"""What bubblewrap says when it fails: one line, with a path or two."""


class LaunchThreads:
    """Runs what may block before a child runs, and after a sandboxed one has ended."""

    def __init__(self, name: str = "spawn") -> None:
        self._threads = BlockingThreads(_THREADS, f"exec-server-{name}")
        self._searches = BlockingThreads(_THREADS, f"exec-server-{name}-search")
        self._releases: set[asyncio.Future[None]] = set()
        self._keeper: Keeper | None = None

    async def prepare(self, request: SpawnRequest) -> Launch:
        """Return how to launch a request; see ``spawn.prepare`` and ``make_launch``."""
        return await self.make_launch(lambda: prepare(request), request.sandbox)

    def submit(self, function: Callable[[], T], context: SandboxContext | None = None) -> Future[T]:
        """Run something that may block in one of the threads.

        Args:
            function: What to run.
            context: The policy that it is about, if there is one.
        """
        threads = self._threads
        if context is not None:
            from ..sandbox.rules import has_patterns

            threads = self._searches if has_patterns(context) else threads
        return threads.submit(function)

    async def make_launch(
        self, make: Callable[[], Launch], context: SandboxContext | None = None
    ) -> Launch:
        """Return the launch that ``make`` makes in a thread; see ``submit``.

        Cancelling it, or running out of time, abandons the thread: what it still prepares is
        closed there.

        Raises:
            SpawnError: As ``make``, or the file system did not answer in time.
            SandboxError: As ``make``.
        """
        prepared = self.submit(make, context)
        future = asyncio.wrap_future(prepared)
        future.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            prepared.add_done_callback(_close_unused)
            raise SpawnError(
                "the file system of the program or the working directory does not answer"
            ) from error
        except asyncio.CancelledError:
            prepared.add_done_callback(_close_unused)
            raise

    async def admit(self, child: Child) -> None:
        """Let a spawned command run, if its sandbox is as planned.

        When it raises, or is cancelled, the child is being killed and is not the caller's
        any more.

        Raises:
            SandboxError: It is not. Nothing of the command has run.
        """
        if not child.launch.confined:
            return
        keeper = self._keeper_of(child.launch)
        admit = partial(
            child.launch.admit,
            before=restore_open_files_limit,
            watcher=None if keeper is None else keeper.watcher,
        )
        admitted = asyncio.wrap_future(self._threads.submit(admit))
        admitted.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await asyncio.shield(admitted)
        except TimeoutError as error:
            self.abandon(child)
            raise SandboxUnavailableError("a file system of the sandbox does not answer") from error
        except SandboxUnavailableError as error:
            said = _last_words(child)
            self.abandon(child)
            if said:
                raise SandboxUnavailableError(f"{error}: {said}") from error
            raise
        except BaseException:
            self.abandon(child)
            raise
        if keeper is not None:
            keeper.keep(child.launch)

    def _keeper_of(self, launch: Launch) -> Keeper | None:
        if launch.replan is None:
            return None
        if self._keeper is None:
            from .keeper import Keeper  # loads what sandboxes need

            # Looking at a policy with patterns may take seconds: not in the way of starts.
            self._keeper = Keeper(self._searches.submit)
        return self._keeper

    def _let_go(self, launch: Launch) -> None:
        if self._keeper is not None:
            self._keeper.let_go(launch)

    def abandon(self, child: Child) -> None:
        """Kill a child whose start was cancelled, and clean up behind it."""
        self._let_go(child.launch)
        child.launch.signal(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.popen.pid, signal.SIGKILL)
        descriptors = {fd for _, fd in child.outputs} | {child.stdin, child.terminal}
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)
        self._in_background(child.popen.wait, child.launch.close)

    def release(self, launch: Launch, then: Callable[[], None] | None = None) -> None:
        """Give back what the sandbox of a child that has ended needed outside.

        Args:
            launch: Of that child, or of none.
            then: Called when that is done, on the event loop; at once for a launch that is not
                confined, since there is nothing to wait for.
        """
        if launch.confined:
            self._let_go(launch)
            self._in_background(launch.close, then=then)
        elif then is not None:
            then()

    def _in_background(
        self, *steps: Callable[[], object], then: Callable[[], None] | None = None
    ) -> None:
        def run() -> None:
            for step in steps:
                step()

        future = asyncio.wrap_future(self._threads.submit(run))
        self._releases.add(future)
        future.add_done_callback(self._releases.discard)
        if then is not None:
            future.add_done_callback(lambda _: then())

    async def wait_released(self) -> None:
        """Wait until everything has been given back. The caller sets the bound."""
        while self._releases:
            await asyncio.wait(self._releases)

    def close(self) -> None:
        """Start nothing new. Threads that are stuck end with the process."""
        if self._keeper is not None:
            self._keeper.close()
        self._threads.close()
        self._searches.close()


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve an error whose waiter is gone, so that asyncio does not report it."""
    if not future.cancelled():
        future.exception()


def _close_unused(prepared: Future[Launch]) -> None:
    if not prepared.cancelled() and prepared.exception() is None:
        prepared.result().close()


def _last_words(child: Child) -> str:
    """Return what bubblewrap wrote: nothing else has had the descriptor yet."""
    _, descriptor = child.outputs[-1]
    with contextlib.suppress(OSError):
        text = os.read(descriptor, _LAST_WORDS_BYTES).decode("utf-8", "replace")
        return " ".join(text.split())
    return ""
