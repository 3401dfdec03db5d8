"""Parts of files whose upload failed: removed, though the connection may be gone for now.

A part is removed in the background of its session, which waits for a connection. A transfer
that wants to use the same part again waits for that, or it would lose its file underway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from exec_server_protocol.errors import ProtocolError, RpcError

from ..connection.background import BackgroundTasks
from ..errors import ClientError

__all__ = ["CLEAN_UP_SECONDS", "FailedParts"]

logger = logging.getLogger(__name__)

CLEAN_UP_SECONDS: Final = 2.0
"""For which a transfer that failed waits until its part is gone."""


class FailedParts:
    """Removals that are under way, by the URI of the part. As many as transfers failed."""

    def __init__(self, background: BackgroundTasks) -> None:
        self._background = background
        self._removals: dict[str, asyncio.Task[bool]] = {}

    async def remove(self, uri: str, removal: Callable[[], Awaitable[object]]) -> bool:
        """Carry out a removal; return whether it is done after a moment.

        When it is not, it goes on. Cancelling this leaves the removal alone.

        Args:
            uri: Of the part.
            removal: Removes it, on as many connections as that takes.
        """
        task = self._background.start(_done(removal), "exec-client-part")
        if task is None:
            return False
        self._removals[uri] = task
        task.add_done_callback(lambda _: self._forget(uri, task))
        await asyncio.wait([task], timeout=CLEAN_UP_SECONDS)
        return task.done() and not task.cancelled() and task.result()

    def _forget(self, uri: str, task: asyncio.Task[bool]) -> None:
        if self._removals.get(uri) is task:
            del self._removals[uri]

    async def wait_removed(self, uri: str) -> None:
        """Wait until no removal of this part is under way."""
        while (task := self._removals.get(uri)) is not None:
            await asyncio.wait([task])
            self._forget(uri, task)


async def _done(removal: Callable[[], Awaitable[object]]) -> bool:
    try:
        await removal()
    except (ClientError, RpcError, ProtocolError, OSError) as error:
        logger.warning("the part of an upload was left behind: %s", type(error).__name__)
        return False
    return True
