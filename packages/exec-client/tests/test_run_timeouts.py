"""``run`` over an executor in memory: its timeout holds, and the command is ended."""

from __future__ import annotations

import asyncio

import pytest
from exec_client.client import Client
from exec_client.connection.websocket import NotSentError
from exec_client.errors import ConnectError, TimeoutExpired
from exec_client.options import ClientOptions
from exec_client.session.session import Session
from exec_testkit.fake_executor import FakeExecutor, Faults
from exec_testkit.virtual_time import run

WITHIN = 0.25
"""Seconds after the timeout in which the call returns."""


@pytest.mark.parametrize("latency", [0.0, 0.1, 60.0])
def test_a_timeout_holds_however_slow_the_executor_is(latency: float) -> None:
    async def main() -> None:
        executor = FakeExecutor(1, Faults(), nobody=ConnectError, not_sent=NotSentError)
        session = Session("ws://memory", ClientOptions(), dial=executor.dial)
        await session.connect(resume=False)
        client = Client(session)
        executor.latency = latency
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutExpired):
            await client.run(["writes", "100000"], timeout=3)
        assert 3 <= loop.time() - began <= 3 + WITHIN
        await asyncio.sleep(2 * latency + 1)  # what goes on behind it has come to its end
        [process] = executor.processes.values()
        assert process.exit_code == 137
        await client.aclose()
        await executor.aclose()

    run(main())
