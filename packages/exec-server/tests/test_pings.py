"""Pings of a peer are answered, whatever else there is to do or nothing."""

from __future__ import annotations

import asyncio

from exec_server import ServerConfig, serve
from exec_testkit.wire import WireClient

_SECONDS = 5.0
"""Peers give a connection up after some 20."""


async def test_a_ping_is_answered_without_another_message() -> None:
    async with serve(ServerConfig()) as server:
        client = await WireClient.ready(server.url)
        for _ in range(3):
            answered = await client.connection.ping()
            await asyncio.wait_for(answered, _SECONDS)
        await client.close()
