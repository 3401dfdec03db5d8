"""Servers that tests start leave nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from exec_testkit.liveness import alive, wait_gone
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_closing_a_server_ends_everything_that_it_started() -> None:
    with ServerProcess() as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "sleep 60 & echo $!; wait"])
        pid = int(await client.output_until(b"\n"))
        assert alive(pid)
    assert wait_gone(pid)
    assert wait_gone(server.pid)
    await client.close()


async def test_a_program_that_prints_no_url_is_reported_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="what happened"):
        await asyncio.to_thread(
            lambda: ServerProcess(command=["sh", "-c", "echo what happened >&2; echo no url"])
        )
