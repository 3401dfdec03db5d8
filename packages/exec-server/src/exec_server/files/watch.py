"""``fs/watchMissing``: tells a client once when something that is missing may have appeared.

A worker looks at the paths every second: the server itself never touches them, and a file
system that hangs delays the notification of its own watch only. The watches of a connection
end with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from exec_server_protocol.helper import HelperError
from exec_server_protocol.path_uri import PathUri

from ..sandbox.planning import NO_SANDBOX
from ..workers.pool import Ticket
from ..workers.result_text import ResultCheck, check_of
from ..workers.worker import Worker
from ..workers.workers import SessionWorkers

__all__ = ["MissingWatches"]

_OP: Final = "fs/checkMissing"
_WATCHES_MAX: Final = 64
"""Of one connection. A client has one for each workspace, replaced after its notification."""
_PATHS_MAX: Final = 1024
"""Of one connection: as many as a worker looks at in one request."""
_PATHS_MAX_BYTES: Final = 512 * 1024
"""All of them together: half of what fits into a request."""


@dataclass(frozen=True, slots=True)
class _Watch:
    missing: frozenset[str]
    present: str | None

    @property
    def paths(self) -> frozenset[str]:
        return self.missing | {self.present} if self.present is not None else self.missing

    def has_changed(self, found: set[str]) -> bool:
        """Whether what was missing is there, or what was there is missing."""
        if self.present is not None and self.present not in found:
            return True
        return not self.missing.isdisjoint(found)


class MissingWatches:
    """The watches of one connection.

    Args:
        workers: Those of the session.
        notify: Called with the id of a watch, once for each watch.
    """

    def __init__(self, workers: SessionWorkers, notify: Callable[[int], None]) -> None:
        self._workers = workers
        self._notify = notify
        self._watches: dict[int, _Watch] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._look: _Look | None = None
        self._closed = False

    def add(self, watch_id: int, missing: Sequence[PathUri], present: PathUri | None) -> bool:
        """Watch; a watch with the same id is replaced.

        Returns:
            Whether it is watched. It is not when there are too many watches, or paths.
        """
        watch = _Watch(
            frozenset(str(path) for path in missing), None if present is None else str(present)
        )
        others = [other for number, other in self._watches.items() if number != watch_id]
        if len(others) >= _WATCHES_MAX:
            return False
        paths = [path for other in [*others, watch] for path in other.paths]
        if len(paths) > _PATHS_MAX or sum(map(len, paths)) > _PATHS_MAX_BYTES:
            return False
        self._watches[watch_id] = watch
        self._schedule()
        return True

    def _schedule(self) -> None:
        if self._watches and self._timer is None and self._look is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(
                self._workers.limits.watch_seconds, self._begin
            )

    def _begin(self) -> None:
        self._timer = None
        asked = dict(self._watches)
        paths = sorted({path for watch in asked.values() for path in watch.paths})
        self._look = _Look(self._workers, paths, partial(self._looked, asked))
        self._look.begin()

    def _looked(self, asked: dict[int, _Watch], found: set[str] | None) -> None:
        """Take what exists; ``None`` when it could not be found out this time."""
        self._look = None
        if self._closed:
            return
        if found is not None:
            for watch_id, watch in asked.items():
                # It may have been replaced meanwhile.
                if self._watches.get(watch_id) is watch and watch.has_changed(found):
                    del self._watches[watch_id]
                    self._notify(watch_id)
        self._schedule()

    def close(self) -> None:
        """Watch nothing any more."""
        self._closed = True
        self._watches.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.abandon()


class _Look:
    """One look at paths, by a worker; see ``call.Call``."""

    def __init__(
        self,
        workers: SessionWorkers,
        paths: list[str],
        looked: Callable[[set[str] | None], None],
    ) -> None:
        self._workers = workers
        self._paths = paths
        self._looked = looked
        self._worker: Worker | None = None
        self._ticket: Ticket | None = None
        self._check: ResultCheck = check_of(_OP)

    def begin(self) -> None:
        worker = self._workers.take_idle(NO_SANDBOX)
        if worker is not None:
            self._ask(worker)
        else:
            self._ticket = self._workers.take(
                NO_SANDBOX, self._ask, lambda error: self._looked(None)
            )

    def _ask(self, worker: Worker) -> None:
        self._worker = worker
        worker.call(self, _OP, json.dumps({"paths": self._paths}).encode("ascii"))

    def abandon(self) -> None:
        """Nobody waits for it: free the worker, whatever it hangs on."""
        if self._ticket is not None:
            self._ticket.cancel()
        if self._worker is not None:
            asyncio.get_running_loop().call_later(
                self._workers.limits.grace_seconds, self._give_up, self._worker
            )

    def _give_up(self, worker: Worker) -> None:
        if self._worker is worker:
            worker.fail("the client is gone")

    def _end(self, found: set[str] | None) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._workers.give_back(worker)
        self._looked(found)

    take_file = None
    needs_sandbox = False

    def check(self, text: bytes, *, last: bool) -> None:
        self._check.piece(text, last=last)

    def encode(self, data: bytes, *, last: bool) -> bytes:
        return self._check.encode(data, last=last)

    def part(self, text: bytes) -> None:
        raise AssertionError("refused by the check")

    def result(self, text: bytes) -> None:
        self._end(set(json.loads(text)["present"]))

    def error(self, error: HelperError) -> None:
        self._end(None)

    def lost(self, reason: str, *, begun: bool) -> None:
        self._end(None)
