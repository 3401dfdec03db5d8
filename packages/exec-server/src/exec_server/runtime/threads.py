"""A few threads for what may block, which do not keep the program from ending.

The executor of the standard library joins its threads when the interpreter exits. One that
waits for a file system that never answers would then hold the server up for ever. These are
daemons: they end with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["BlockingThreads"]

T = TypeVar("T")


class BlockingThreads:
    """Runs functions in threads, in the order in which they came.

    Args:
        limit: Threads at most; each is started when no other is free.
        name: For their names.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._free = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._started = 0
        self._closed = False

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run a function when a thread is free for it.

        Raises:
            RuntimeError: The threads have been closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads have been closed")
            self._tasks.put((future, function))
            if not self._free.acquire(blocking=False) and self._started < self._limit:
                self._started += 1
                name = f"{self._name}-{self._started}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function = task
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001 - handed to who waits for it
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del task, future, function  # nothing is kept until the next task comes
            self._free.release()
        self._tasks.put(None)  # for the next thread

    def close(self) -> None:
        """Start nothing any more, cancel calls that have not begun, and wait for none."""
        with self._lock:
            self._closed = True
            while True:
                try:
                    task = self._tasks.get_nowait()
                except Empty:
                    break
                if task is not None:
                    task[0].cancel()
            self._tasks.put(None)
