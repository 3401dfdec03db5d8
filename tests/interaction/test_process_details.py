"""What a client learns of a process beside its output: ends of streams, its pid, its signal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from exec_client import StdinClosedError, connect
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.server import ServerProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.extension("it tells no details of processes"),
]

CLOSES_STDOUT = "read line; echo out; exec >&-; read line; echo err >&2"


async def test_a_stream_ends_when_it_is_closed_and_not_with_the_process(
    server: ServerProcess,
) -> None:
    async with asyncio.timeout(20), connect(server.url) as client:
        process = await client.start(["sh", "-c", CLOSES_STDOUT], stdin=True)
        await process.write("\n")
        assert await process.stdout.read() == b"out\n"
        assert process.returncode is None
        await process.write("\n")
        assert await process.stderr.read() == b"err\n"
        assert await process.wait() == 0


@pytest.mark.parametrize("output", ["out", ""])
async def test_the_end_of_a_stream_that_was_missed_is_learnt_from_a_recovery(
    server: ServerProcess, tmp_path: Path, output: str
) -> None:
    go, closed = tmp_path / "go", tmp_path / "closed"
    script = f"until [ -e {go} ]; do sleep 0.02; done; printf '{output}'; exec >&-; : >{closed}"
    async with FaultProxy(server.port) as proxy, asyncio.timeout(30):
        async with connect(proxy.url) as client:
            process = await client.start(["sh", "-c", f"{script}; exec sleep 600"])
            proxy.stop_listening()
            proxy.cut_all()
            go.touch()
            while not closed.exists():  # noqa: ASYNC110 - the shell makes it
                await asyncio.sleep(0.02)
            await proxy.listen()
            assert await process.stdout.read() == output.encode()
            assert process.returncode is None
            await process.terminate()


async def test_merged_output_is_all_in_stdout_and_stderr_is_over(server: ServerProcess) -> None:
    async with asyncio.timeout(20), connect(server.url) as client:
        script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2; read line"
        argv = ["sh", "-c", script]
        async with await client.start(argv, stdin=True, merge_stderr=True) as process:
            assert await process.stderr.read() == b""
            assert [await process.stdout.readline() for _ in range(4)] == [
                b"1\n",
                b"2\n",
                b"3\n",
                b"4\n",
            ]


@pytest.mark.parametrize(
    ("script", "returncode", "signal"),
    [("exit 137", 137, None), ("kill -9 $$", 137, 9), ("kill -15 $$", 143, 15), (":", 0, None)],
)
async def test_a_signal_is_told_apart_from_an_exit_code(
    server: ServerProcess, script: str, returncode: int, signal: int | None
) -> None:
    async with asyncio.timeout(20), connect(server.url) as client:
        process = await client.start(["sh", "-c", f"echo $$; {script}"])
        assert await process.stdout.read() == b"%d\n" % (process.pid or 0)
        assert await process.wait() == returncode
        assert (process.returncode, process.signal) == (returncode, signal)


async def test_writing_to_a_process_that_has_ended_is_an_error(server: ServerProcess) -> None:
    async with asyncio.timeout(20), connect(server.url) as client:
        process = await client.start(["cat"], stdin=True)
        await process.write("x")
        await process.terminate()
        await process.wait()
        with pytest.raises(StdinClosedError, match="has ended"):
            await process.write("y")
