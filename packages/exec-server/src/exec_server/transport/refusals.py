"""Log records about refused connections, so few that strangers cannot fill the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

__all__ = ["RefusalLog"]

logger = logging.getLogger(__name__)

_QUIET_SECONDS: Final = 10.0
"""Between two lines with the same reason; what happens meanwhile is counted."""


class RefusalLog:
    """At most one line for each reason in ten seconds, with the number of cases."""

    def __init__(self) -> None:
        self._next_line: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def note(self, reason: str) -> None:
        """Count a refusal.

        Args:
            reason: One of a closed set; nothing that a peer sent.
        """
        count = self._untold.get(reason, 0) + 1
        now = asyncio.get_running_loop().time()
        if now < self._next_line.get(reason, now):
            self._untold[reason] = count
            return
        self._next_line[reason] = now + _QUIET_SECONDS
        self._untold[reason] = 0
        times = f" ({count} times)" if count > 1 else ""
        logger.warning("refused a connection: %s%s", reason, times)
