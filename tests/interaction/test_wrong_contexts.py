"""A client used where it cannot work: after a fork, in another event loop, under trio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from exec_client import Client, WrongContextError, connect, sync
from exec_client.environment import Environment
from exec_testkit.server import ServerProcess

pytestmark = pytest.mark.process

FORKED = """
import os, signal, sys
from exec_client import WrongContextError, sync

with sync.connect(sys.argv[1]) as client:
    process = client.start(["cat"], stdin=True)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # a call that hangs ends by this
        told = 0
        for call in (
            lambda: client.run(["true"]),
            lambda: client.fs.read_bytes("/etc/hostname"),
            lambda: client.http.request("GET", "http://127.0.0.1:1/"),
            lambda: process.write("x"),
            process.wait,
            process.stdout.read,
            client.list_processes,
            lambda: next(iter(client.state_changes())),
        ):
            try:
                call()
            except WrongContextError as error:
                assert "os.fork" in str(error), error
                told += 1
        with sync.connect(sys.argv[1]) as own:  # one of its own works
            assert own.run(["echo", "child"]).stdout == b"child\\n"
        if told == 8:
            sys.exit(0)  # leaves the block above, and must not end the parent's client
        os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status
    assert client.run(["echo", "parent"]).stdout == b"parent\\n"
    process.write("still here")
    process.close_stdin()
    assert process.stdout.read() == b"still here"
"""

SPAWNED = """
import multiprocessing, sys, threading
from exec_client import sync

def work(url, number):
    with sync.connect(url) as client:
        return client.run(["echo", str(number)], check=True).stdout

if __name__ == "__main__":
    url = sys.argv[1]
    with sync.connect(url) as client:
        assert client.run(["true"]).returncode == 0
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            got = pool.starmap(work, [(url, number) for number in range(4)])
        assert got == [b"0\\n", b"1\\n", b"2\\n", b"3\\n"], got
        assert client.run(["true"]).returncode == 0
"""


def run_script(text: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script), url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", [FORKED, SPAWNED], ids=["forked", "spawned"])
def test_another_process_is_told_at_once_or_works(
    server: ServerProcess, tmp_path: Path, script: str
) -> None:
    done = run_script(script, tmp_path, server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_each_call_in_another_event_loop_is_refused_at_once(server: ServerProcess) -> None:
    async with connect(server.url) as client:
        process = await client.start(["cat"], stdin=True)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.run(["true"]),
            lambda: client.fs.read_bytes("/etc/hostname"),
            lambda: client.http.request("GET", "http://127.0.0.1:1/"),
            lambda: client.call("environment/status"),
            lambda: process.write("x"),
            process.wait,
            process.stdout.read,
            process.wait_changed,
            client.aclose,
        ]

        def elsewhere() -> list[str]:
            async def one(call: Callable[[], Awaitable[object]]) -> str:
                async with asyncio.timeout(10):
                    with pytest.raises(WrongContextError) as caught:
                        await call()
                return str(caught.value)

            return [asyncio.run(one(call)) for call in calls]

        texts = await asyncio.to_thread(elsewhere)
        assert len(texts) == len(calls)
        assert all("another event loop" in text for text in texts)
        assert (await client.run(["true"])).returncode == 0
        await process.terminate()


def test_a_client_is_refused_after_its_event_loop_has_ended(server: ServerProcess) -> None:
    async def opened() -> Client:
        return await connect(server.url)

    client = asyncio.run(opened())
    with pytest.raises(WrongContextError, match="another event loop"):
        asyncio.run(client.run(["true"]))


def test_under_trio_the_text_says_what_to_do(server: ServerProcess) -> None:
    async def connecting() -> None:
        async with connect(server.url):
            pass

    async def using() -> None:
        environment = Environment.remote(server.url)
        await environment.run(["true"])

    for program in (connecting, using):
        with pytest.raises(WrongContextError, match=r"trio\.to_thread"):
            trio.run(program)


def test_under_trio_the_sync_client_works_in_a_thread(server: ServerProcess) -> None:
    def work() -> bytes:
        with sync.connect(server.url) as client:
            return client.run(["echo", "hi"]).stdout

    assert trio.run(trio.to_thread.run_sync, work) == b"hi\n"


def test_many_threads_share_a_client_without_async(server: ServerProcess) -> None:
    got: list[bytes] = []
    with sync.connect(server.url) as client:
        threads = [
            threading.Thread(
                target=lambda number=number: got.append(client.run(["echo", str(number)]).stdout)
            )
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(int(text) for text in got) == list(range(20))
