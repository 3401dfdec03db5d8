"""The places for the output of a session's processes, within what the session may keep."""

from __future__ import annotations

from collections.abc import Callable

from ..config import ServerConfig
from ..output.spool import DiskBudget, Spool
from ..output.store import OutputStore
from ..telemetry.names import DROPPED_OUTPUT

__all__ = ["OutputStores"]


class OutputStores:
    """Makes the places.

    Args:
        config: How much is kept.
        spool: Disk space for output.
    """

    def __init__(self, config: ServerConfig, spool: Spool) -> None:
        self._config = config
        self._spool = spool
        self._disk = DiskBudget(config.retain_session_bytes, spool.budget)

    def maker(self, policy: str) -> Callable[[Callable[[], None]], OutputStore]:
        """Return what makes the place of a process; it takes what to call when there is room.

        Args:
            policy: ``outputPolicy`` of its start.
        """
        return lambda on_room: OutputStore(
            self._config.memory_bytes,
            DiskBudget(self._config.retain_output_bytes, self._disk),
            self._spool,
            hold_up=policy == "back-pressure",
            on_room=on_room,
            on_dropped=self._dropped,
        )

    def _dropped(self, size: int) -> None:
        self._config.instruments.count(DROPPED_OUTPUT, amount=size)
