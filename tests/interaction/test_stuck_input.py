"""Processes that read no input hold up nothing but what is written to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from exec_client import connect
from exec_server import ServerConfig, serve
from exec_server.config import Limits
from exec_server.server import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]

_PROCESSES = 60


async def test_many_processes_that_read_nothing_can_be_ended() -> None:
    limits = Limits(stdin_queue_bytes=64 * 1024)  # so that little input is kept for each of them
    config = ServerConfig(limits=limits)
    async with asyncio.timeout(50), serve(config) as server, connect(server.url) as client:
        processes = [await client.start(["sleep", "60"], stdin=True) for _ in range(_PROCESSES)]
        # Each will have one piece queued, and one that waits for its answer.
        writes = [asyncio.ensure_future(p.write(b"x" * 4 * 1024 * 1024)) for p in processes]
        await _until_all_that_can_is_handled(server)
        assert (await client.status()) == "ready"
        for process in processes:
            await process.terminate()
        await asyncio.gather(*writes, return_exceptions=True)


async def _until_all_that_can_is_handled(server: Server) -> None:
    connection: Any = server._admission.connections[0]._sink
    while len(connection._parked) < _PROCESSES and not connection.waiting_bytes:
        for _ in range(100):
            await asyncio.sleep(0)
