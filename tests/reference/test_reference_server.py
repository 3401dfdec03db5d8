"""Our client and its program against the reference server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exec_client import AccessDeniedError, ClientOptions, UnsupportedError, connect
from exec_server_protocol import InternalError, InvalidRequestError, ProcessId
from exec_server_protocol.process import ProcessReadParams
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.server import ServerProcess

pytestmark = pytest.mark.process
CLIENT = Path(sys.executable).parent / "exec-client"
WAIT_S = 30.0


def _run(url: str, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [CLIENT, "run", "--url", url, *words],
        input=input,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )


def test_the_program_keeps_streams_apart_and_ends_with_the_command_s_code(
    reference: ServerProcess,
) -> None:
    done = _run(reference.url, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_the_program_reports_a_signal_as_a_shell_does(reference: ServerProcess) -> None:
    assert _run(reference.url, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15


async def test_a_command_in_a_terminal_sees_one(reference: ServerProcess) -> None:
    async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
        process = await client.start(["sh", "-c", "test -t 1 && echo terminal"], tty=True)
        async with process:
            out, _ = await process.communicate()
            assert (out, await process.wait()) == (b"terminal\r\n", 0)


async def test_what_is_written_comes_back(reference: ServerProcess) -> None:
    async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
        async with await client.start(["head", "-n", "2"], stdin=True) as process:
            await process.write("one\n")
            await process.write("two\n")
            assert await process.stdout.read() == b"one\ntwo\n"
            assert await process.wait() == 0


async def test_bulk_output_arrives_whole(reference: ServerProcess) -> None:
    size = 20_000_000
    script = f"head -c {size} /dev/zero | tr '\\0' x"
    async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
        done = await client.run(["sh", "-c", script])
    expected = hashlib.sha256(b"x" * size).digest()
    assert hashlib.sha256(done.stdout).digest() == expected


async def test_what_it_lacks_is_refused_before_anything_is_sent(reference: ServerProcess) -> None:
    async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
        async with await client.start(["cat"], stdin=True) as process:
            with pytest.raises(UnsupportedError):
                await process.close_stdin()
            with pytest.raises(UnsupportedError):
                await process.resize(24, 80)
            with pytest.raises(UnsupportedError):
                await process.send_signal("hangup")
            with pytest.raises(UnsupportedError):
                await client.list_processes()
            await process.write("still here\n")
            assert await process.stdout.readline() == b"still here\n"
            await process.terminate()


async def test_its_refusals_are_errors_by_code(reference: ServerProcess) -> None:
    async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
        with pytest.raises(InternalError):
            await client.start(["/no/such/program"])
        with pytest.raises(InvalidRequestError):
            await client.call("process/read", ProcessReadParams(process_id=ProcessId("unknown")))


async def test_a_cut_costs_no_output(reference: ServerProcess) -> None:
    script = "for i in $(seq 300); do echo line $i; sleep 0.002; done"
    options = ClientOptions(retry_delay=0.01)
    async with asyncio.timeout(WAIT_S), FaultProxy(reference.port) as proxy:
        async with connect(proxy.url, options=options) as client:
            process = await client.start(["bash", "-c", script])
            async with process:
                lines = []
                async for line in process.stdout.lines():
                    lines.append(line)
                    if len(lines) in (50, 150, 250):
                        proxy.cut_all()
                assert await process.wait() == 0
    assert [line.strip() for line in lines] == [f"line {i}" for i in range(1, 301)]


async def test_a_token_lets_our_client_in_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference server")
    digest = hashlib.sha256(b"right-token").hexdigest()
    command = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    options = ("--ws-auth", "capability-token", "--ws-token-sha256", digest)
    env = {**os.environ, "CODEX_HOME": str(tmp_path)}
    with ServerProcess(*options, command=command, env=env) as server:
        async with connect(server.url, options=ClientOptions(token="right-token")) as client:
            assert await client.status() == "ready"
        for token in (None, "wrong-token"):
            with pytest.raises(AccessDeniedError, match=r"HTTP 401: (missing|invalid) websocket"):
                await connect(server.url, options=ClientOptions(token=token))
