"""An event loop on a thread of its own, and calls into it from code that is not async."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import AsyncIterable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

from ..errors import ClientClosedError, WrongContextError
from ..home import check_process
from ..process.start_arguments import seconds as check_seconds

__all__ = ["Portal", "PortalIterator", "timeout"]

T = TypeVar("T")

INTERRUPT_GRACE_S: Final = 5.0
"""For a call that was interrupted to clean up. What takes longer goes on in the background,
so that a second Ctrl-C is not needed."""


class _Limit:
    """A point of time for the calls of a block. Once it has ended one, the others are free."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.expired = False


_limits: ContextVar[tuple[_Limit, ...]] = ContextVar("exec_client_limits", default=())


@contextmanager
def timeout(seconds: float | None) -> Iterator[None]:
    """Limit the time that the calls in a block wait, all together, whichever client they are of.

    ::

        with timeout(5):
            text = client.fs.read_text("/etc/os-release")
            line = process.stdout.readline()

    The call that is under way at the end of that time is cancelled; cancelling is safe for every
    call. It is for calls of this thread. What a block does after that, to clean up, has no limit.

    Args:
        seconds: ``None`` for no limit.

    Raises:
        TimeoutError: From the call.
    """
    if check_seconds(seconds, "seconds") is None:
        yield
        return
    token = _limits.set((*_limits.get(), _Limit(seconds or 0)))
    try:
        yield
    finally:
        _limits.reset(token)


async def _within(limit: _Limit, coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(limit.deadline - time.monotonic()) as clock:
            return await coroutine
    except TimeoutError:
        if clock.expired():
            limit.expired = True
        raise
    finally:
        coroutine.close()  # of one that was never begun


class Portal:
    """Runs coroutines for callers on other threads, one loop for as long as it is open.

    The thread is a daemon and is also stopped when the portal is garbage or the interpreter
    ends, so forgetting ``close`` neither hangs the program nor leaves children behind.
    Calls may come from any number of threads at once.
    """

    def __init__(self) -> None:
        self._core = _Core()
        self._finalizer = weakref.finalize(self, self._core.stop)

    @property
    def is_open(self) -> bool:
        """Whether calls are still possible."""
        return self._finalizer.alive

    def call(self, coroutine: Coroutine[Any, Any, T], *, limited: bool = True) -> T:
        """Run ``coroutine`` on the loop and return its result, or raise what it raised.

        When the caller is interrupted with Ctrl-C, the coroutine is cancelled and given a
        moment to clean up before ``KeyboardInterrupt`` goes on.

        Args:
            coroutine: What to run.
            limited: Whether ``timeout`` is about it, as for all but clean-ups.

        Raises:
            TimeoutError: The time of a ``timeout`` is up.
            ClientClosedError: The portal is closed.
            WrongContextError: This is its own thread, or a child that was forked.
        """
        limits = [limit for limit in _limits.get() if limited and not limit.expired]
        limited_one = coroutine
        if limits:
            limited_one = _within(min(limits, key=lambda limit: limit.deadline), coroutine)
        job = _Job(limited_one)
        try:
            # An interrupt may come at any point, also while it is begun.
            self._core.begin(job)
            return job.result.result()
        except BaseException:
            if not job.handed_over:
                limited_one.close()
                coroutine.close()
            elif not job.result.done():
                self._core.loop.call_soon_threadsafe(job.cancel)
                wait([job.result], timeout=INTERRUPT_GRACE_S)
            raise

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager that is left when the portal is closed."""
        return self.call(self._core.resources.enter_async_context(manager))

    def close(self) -> None:
        """Leave what was entered, stop the loop and end the thread. Repeating it does nothing.

        Raises:
            Exception: Leaving something failed. The loop and the thread have ended all the same.
        """
        self._finalizer()


class PortalIterator(Generic[T]):
    """Steps through an async iterator from outside its loop."""

    def __init__(self, portal: Portal, source: AsyncIterable[T]) -> None:
        self._portal = portal
        self._iterator = aiter(source)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        async def step() -> T:
            return await anext(self._iterator)

        try:
            return self._portal.call(step())
        except StopAsyncIteration:
            raise StopIteration from None


class _Job(Generic[T]):
    """One coroutine on the loop, and its outcome for the thread that waits for it.

    Attributes:
        result: The outcome.
        handed_over: Whether the coroutine is the loop's: nobody else may touch it then.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.result: Future[T] = Future()
        self.handed_over = False
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        if self.result.done():
            return  # its caller was interrupted before the loop came to it
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self._coroutine.close()
            self.result.set_exception(ClientClosedError("the call was interrupted"))

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.result.set_exception(ClientClosedError("the client was closed meanwhile"))
        elif (error := task.exception()) is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(task.result())


class _Core:
    """The part that the thread refers to: it must not keep the portal alive."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.loop: asyncio.AbstractEventLoop
        self.resources = AsyncExitStack()
        self._stopping: asyncio.Event
        self._lock = threading.Lock()
        self._closed = False
        self._failure: BaseException | None = None
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name="exec-client-sync", daemon=True
        )
        self._thread.start()
        started.wait()

    def begin(self, job: _Job[Any]) -> None:
        check_process(self._pid)  # before the lock, which a thread of the parent may hold
        if threading.current_thread() is self._thread:
            raise WrongContextError("called from the client's own event loop")
        with self._lock:
            if self._closed:
                raise ClientClosedError("the client was closed")
            job.handed_over = True
            # The loop handles this before the order to stop, which comes after it.
            self.loop.call_soon_threadsafe(job.start)

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return  # the loop, the thread and the connection are the parent's
        with self._lock:
            self._closed = True
            self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _main(self, started: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        started.set()
        await self._stopping.wait()
        try:
            await self.resources.aclose()
        except BaseException as error:  # noqa: BLE001  # raised by stop(), in the caller's thread
            self._failure = error
