"""The embedded server with the real program."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest
from exec_client.client import connect
from exec_client.embedded import EmbeddedServer

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 20.0


def gone_within(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


async def test_it_serves_and_takes_everything_that_it_runs_with_it() -> None:
    async with asyncio.timeout(WAIT_S):
        async with EmbeddedServer() as server, connect(server.url) as client:
            process = await client.start(["sh", "-c", "echo $$; exec sleep 600"])
            pid = int(await process.stdout.readline())
        assert server.pid is not None
        assert gone_within(server.pid, 0)
        assert gone_within(pid, 5)
        assert server.stderr_tail == ""


async def test_two_of_them_do_not_disturb_each_other() -> None:
    async with asyncio.timeout(WAIT_S), EmbeddedServer() as one:
        async with EmbeddedServer() as other:
            assert one.url != other.url
        async with connect(one.url) as client:
            assert (await client.run(["echo", "hi"])).stdout == b"hi\n"


def test_it_ends_when_its_owner_is_killed() -> None:
    code = """
import asyncio
from exec_client.client import connect
from exec_client.embedded import EmbeddedServer
async def main():
    async with EmbeddedServer() as server, connect(server.url) as client:
        process = await client.start(["sh", "-c", "echo $$; exec sleep 600"])
        pid = int(await process.stdout.readline())
        print(server.pid, pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    try:
        server, command = map(int, owner.stdout.readline().split())
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(WAIT_S)
        owner.stdout.close()
    assert gone_within(server, WAIT_S)
    assert gone_within(command, WAIT_S)
