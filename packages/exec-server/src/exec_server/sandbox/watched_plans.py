"""Plans of file requests that hold without a look at the disk, because nothing has changed.

The same session sends the same policy with every request. Its plan is made once; from the
second look on, the kernel tells whether anything that it depends on has changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..runtime.shortcuts import uses
from .lookup import Lookup
from .plan import Plan

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

    from .disk_events import DiskEvents, Watch

__all__ = ["WatchedPlans"]

RECENT_SECONDS: Final = 2.0
"""How long a plan holds for no other reason than that nothing was announced."""
_PLANS_MAX: Final = 64
"""Policies in use at the same time: one or two for each session."""


@dataclass(slots=True)
class _Watched:
    context: SandboxContext
    plan: Plan
    lookup: Lookup
    watch: Watch
    until: float


class WatchedPlans:
    """The plans of a server's file requests."""

    def __init__(self) -> None:
        self._events: DiskEvents | None = None
        self._watched: dict[int, _Watched] = {}
        self._watching = threading.Lock()
        self._closed = not uses("plans")

    def known(self, context: SandboxContext) -> Plan | None:
        """Return the plan of a context if it is certain without a look. Never blocks.

        Args:
            context: The same object as before; equal ones are others.
        """
        found = self._watched.get(id(context))
        if (
            found is not None
            and found.context is context
            and time.monotonic() < found.until
            and self._events is not None
            and self._events.is_fresh(found.watch)
        ):
            return found.plan
        return None

    def look(
        self, context: SandboxContext, make: Callable[[Callable[[Lookup], None]], Plan]
    ) -> Plan:
        """Make the plan of a context, and watch what it depends on. May block.

        Args:
            context: The request's.
            make: Makes it; passes on what has been looked at, once that has been the same twice.
        """
        seen: list[Lookup] = []
        plan = make(seen.append)
        # Whoever comes while another thread is at it goes without, for this time.
        if seen and self._watching.acquire(blocking=False):
            try:
                self._watch(context, plan, seen[0])
            finally:
                self._watching.release()
        return plan

    def _watch(self, context: SandboxContext, plan: Plan, lookup: Lookup) -> None:
        events = self._start()
        if events is None:
            return
        until = time.monotonic() + RECENT_SECONDS
        found = self._watched.get(id(context))
        if found is not None and found.lookup is lookup and events.is_fresh(found.watch):
            found.until = until
            return
        self._drop(events, id(context))
        watch = events.watch(lookup)
        if watch is None:
            return
        while len(self._watched) >= _PLANS_MAX:
            self._drop(events, next(iter(self._watched)))
        self._watched[id(context)] = _Watched(context, plan, lookup, watch, until)

    def _start(self) -> DiskEvents | None:
        if self._events is None and not self._closed:
            # Here: it loads ctypes, which a server without sandboxes has no use for.
            from .disk_events import DiskEvents

            try:
                self._events = DiskEvents()
            except OSError:
                self._closed = True
        if self._closed and self._events is not None:  # while it was made
            self._events.close()
        return self._events

    def _drop(self, events: DiskEvents, key: int) -> None:
        found = self._watched.pop(key, None)
        if found is not None:
            events.forget(found.watch)

    def close(self) -> None:
        """Watch nothing any more."""
        self._closed = True
        if self._events is not None:
            self._events.close()
