"""The embedded server with the real program."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from exec_client import AccessDeniedError, ClientOptions, Environment
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
        async with EmbeddedServer() as server:
            async with connect(server.url, options=server.client_options()) as client:
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
        async with connect(one.url, options=one.client_options()) as client:
            assert (await client.run(["echo", "hi"])).stdout == b"hi\n"


def _visible_to_others(pid: int | None) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def test_other_users_of_the_machine_cannot_connect_to_it() -> None:
    async with asyncio.timeout(WAIT_S), EmbeddedServer() as one, EmbeddedServer() as other:
        for options in (None, ClientOptions(token="guess"), other.client_options()):
            with pytest.raises(AccessDeniedError):
                await connect(one.url, options=options)
        assert one.token.encode() not in _visible_to_others(one.pid)
        assert one.token not in repr(one) + repr(one.client_options())


async def test_a_token_for_another_executor_does_not_get_into_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXEC_SERVER_TOKEN", "for-somebody-else")
    async with asyncio.timeout(WAIT_S), Environment.local() as here:
        done = await here.run(["env"], inherit_env="all")
        assert b"PATH=" in done.stdout
        assert b"for-somebody-else" not in done.stdout


def test_it_ends_when_its_owner_is_killed() -> None:
    code = """
import asyncio
from exec_client.client import connect
from exec_client.embedded import EmbeddedServer
async def main():
    async with (
        EmbeddedServer() as server,
        connect(server.url, options=server.client_options()) as client,
    ):
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
