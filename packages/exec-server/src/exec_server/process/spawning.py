"""Threads that look at the file system for a start, bounded and shared by all sessions.

A working directory on a dead network mount blocks whoever looks at it, for ever. It then
blocks one of these threads and the start that asked, and nothing else; a start that gets
no answer in time fails.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ..errors import SpawnError
from .spawn import SpawnRequest, resolve

__all__ = ["SpawnPool"]

_THREADS: Final = 8
"""Looking takes microseconds; more than one thread only matters when some are stuck."""
_TIMEOUT_SECONDS: Final = 30.0
"""Longer than a busy network file system takes, shorter than a person waits."""


class SpawnPool:
    """Runs ``resolve`` in threads."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="exec-server-spawn")

    async def resolve(self, request: SpawnRequest) -> bytes:
        """Return the program to execute; see ``spawn.resolve``.

        Raises:
            SpawnError: As ``spawn.resolve``, or the file system did not answer in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await loop.run_in_executor(self._executor, resolve, request)
        except TimeoutError as error:
            raise SpawnError(
                "the file system of the program or the working directory does not answer"
            ) from error

    def close(self) -> None:
        """Start nothing new. Threads that are stuck end with the process."""
        self._executor.shutdown(wait=False, cancel_futures=True)
