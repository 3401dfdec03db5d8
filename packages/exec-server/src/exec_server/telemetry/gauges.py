"""Gauges are read on the event loop, where what they count is not changing meanwhile."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Final

from .instruments import Gauges

__all__ = ["GaugeSource"]

_FRESH_SECONDS: Final = 0.5
"""One export asks for each gauge in turn: they come from the same moment."""
_WAIT_SECONDS: Final = 1.0
"""How long the exporting thread waits for a busy loop before it takes the values of before."""


class GaugeSource:
    """Asks a function on an event loop, for a thread that exports."""

    def __init__(self) -> None:
        self._source: Callable[[], Gauges] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._values: Gauges = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def watch(self, source: Callable[[], Gauges]) -> None:
        """Ask ``source`` from now on, on the running loop."""
        self._source = source
        self._loop = asyncio.get_running_loop()

    def read(self) -> Gauges:
        """Return the gauges as of now, or of the last time when the loop does not answer."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._refresh()
                self._read_at = time.monotonic()
            return self._values

    def _refresh(self) -> None:
        if self._loop is None or self._source is None or not self._loop.is_running():
            return
        future: concurrent.futures.Future[Gauges] = concurrent.futures.Future()

        def ask(source: Callable[[], Gauges]) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(source())
            except Exception as error:  # noqa: BLE001 - raised where it is asked for
                future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(ask, self._source)
            self._values = future.result(_WAIT_SECONDS)
        except (RuntimeError, TimeoutError):  # the loop has ended, or is busy
            future.cancel()
