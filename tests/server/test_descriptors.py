"""Descriptors of a server: each lives as long as what it stands for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from exec_client import connect
from exec_server_protocol import SandboxContext
from exec_testkit.server import ServerProcess, program

pytestmark = [pytest.mark.process, pytest.mark.slow]

# Ends at once, and leaves a process in its group that somebody outside of the group waits for.
_LEAVES_A_MEMBER = """
import os, time
leader = os.getpid()
joined, tell = os.pipe()
if os.fork() == 0:
    os.setpgid(0, 0)
    member = os.fork()
    if member == 0:
        os.setpgid(0, leader)
        os.write(tell, b"x")
        for fd in range(3):
            os.close(fd)
        time.sleep(0.3)
    else:
        for fd in range(3):
            os.close(fd)
        os.waitpid(member, 0)
    os._exit(0)
os.read(joined, 1)
"""


async def test_a_terminal_in_a_sandbox_leaves_no_descriptor_behind(server: ServerProcess) -> None:
    policy = SandboxContext.read_only(cwd="/")
    async with connect(server.url) as client:
        await client.run(["true"], tty=True, sandbox=policy)
        before = server.open_files
        for _ in range(5):
            done = await client.run(["true"], tty=True, sandbox=policy)
            assert done.returncode == 0
        assert server.open_files == before


async def test_the_handle_of_a_group_lives_as_long_as_the_group() -> None:
    # What has ended stays readable for far longer than the test takes.
    with ServerProcess("--session-ttl-seconds", "600") as server:
        async with connect(server.url) as client:
            await client.run([sys.executable, "-c", ""])
            before = server.open_files
            done = await client.run([sys.executable, "-c", _LEAVES_A_MEMBER])
            assert done.returncode == 0
            assert server.open_files == before + 1
            async with asyncio.timeout(20):
                while server.open_files > before:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.02)


async def test_a_sandbox_starts_on_a_server_with_few_descriptors(tmp_path: Path) -> None:
    policy = SandboxContext.workspace_write([tmp_path])
    few = ["prlimit", "--nofile=64:64", program("exec-server"), "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(command=few) as server:
        async with connect(server.url) as client:
            for tty in (False, True):
                done = await client.run(["true"], tty=tty, sandbox=policy)
                assert done.returncode == 0
