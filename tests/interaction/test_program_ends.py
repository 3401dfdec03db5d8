"""Programs that end without closing their client: no word on stderr, no task left over."""

from __future__ import annotations

import subprocess
import sys

import pytest
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

_PROGRAM = """
import asyncio, sys
from exec_client import connect

async def hold(file, opened):
    async with file:
        opened.set()
        await asyncio.sleep(60)

async def main():
    client = await connect(sys.argv[1])
    process = await client.start(["cat"], stdin=True)
    WORK
    return client, process

kept = asyncio.run(main())
"""

WORK = {
    "idle": "pass",
    "reading": "asyncio.ensure_future(process.stdout.read()); await asyncio.sleep(0)",
    "calling": "asyncio.ensure_future(process.read(wait=60)); await asyncio.sleep(0)",
    "starting": "asyncio.ensure_future(client.start(['true'])); await asyncio.sleep(0)",
    "a file is open": "opened = asyncio.Event();"
    "asyncio.ensure_future(hold(client.fs.open(sys.executable, 'rb'), opened));"
    "await opened.wait()",
    "an exit in the middle": "sys.exit(0)",
}


@pytest.mark.parametrize("work", WORK)
def test_a_program_that_ends_without_closing_its_client_says_nothing(
    server: ServerProcess, work: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", _PROGRAM.replace("WORK", WORK[work]), server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "")
