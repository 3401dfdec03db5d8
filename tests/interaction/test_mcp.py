"""MCP servers on an executor, spoken to with the official SDK over links that break.

They run with ``mcp`` 2, which the lock file has, and in the session ``tests-lowest`` with 1.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import mcp.types
import pytest
from exec_client import Client, ClientOptions, ClientState, ConnectionBrokenError, connect
from exec_client.mcp import stdio_client
from exec_server_protocol.errors import RpcError
from exec_testkit.fault_proxy import Cut, FaultProxy
from exec_testkit.liveness import wait_gone
from exec_testkit.server import ServerProcess
from mcp import ClientSession, StdioServerParameters
from mcp.shared import exceptions as mcp_exceptions
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest, JSONRPCResponse, TextContent
from pydantic import TypeAdapter

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 40.0
"""For one test: the SDK takes seconds to import on a busy machine."""

SERVER = """
import os, sys
try:
    from mcp.server.mcpserver import MCPServer  # mcp 2
except ModuleNotFoundError:
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("numbers")
calls = 0

@server.tool()
def count(text: str) -> str:
    global calls
    calls += 1
    return f"{calls} {text}"

@server.tool()
def large(size: int) -> str:
    print("e" * 100_000, file=sys.stderr, flush=True)
    return "x" * size

@server.tool()
def pid() -> str:
    return str(os.getpid())

@server.tool()
def die() -> str:
    os._exit(3)

@server.tool()
def variable(name: str) -> str:
    return os.environ.get(name, "unset")

server.run()
"""

ENVELOPE = TypeAdapter[Any](mcp.types.JSONRPCMessage)
PING = SessionMessage(
    ENVELOPE.validate_python(JSONRPCRequest(jsonrpc="2.0", id=1, method="ping").model_dump())
)
IS_FIRST = version("mcp").startswith("1.")
CALL_FAILED: type[Exception] = getattr(mcp_exceptions, "McpError" if IS_FIRST else "MCPError")

ECHO = """
import json, sys
print("this is no message", flush=True)
for line in sys.stdin:
    answer = {"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {}}
    print(json.dumps(answer), flush=True)
"""

POURS = """
import json
for n in range(2000):
    params = {"n": n, "more": "x" * 1000}
    print(json.dumps({"jsonrpc": "2.0", "method": "m", "params": params}), flush=True)
"""

IGNORES_THE_END = """
import os, time
print('{"jsonrpc": "2.0", "method": "%d"}' % os.getpid(), flush=True)
while True: time.sleep(100)
"""


ENDS_WITH_ITS_STDIN = """
import os, sys
print('{"jsonrpc": "2.0", "method": "started"}', flush=True)
sys.stdin.read()
open(os.environ["SAVED"], "w").close()
"""


def python(script: str, **more: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-c", script], env=more or None)


@asynccontextmanager
async def connected(url: str, *, replay: bool = True) -> AsyncIterator[Client]:
    options = ClientOptions(replay_writes=replay, retry_delay=0.02)
    async with asyncio.timeout(WAIT_S), connect(url, options=options) as client:
        yield client


@asynccontextmanager
async def numbers(client: Client, **env: str) -> AsyncIterator[ClientSession]:
    async with stdio_client(client, python(SERVER, **env)) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            yield session


async def call(session: ClientSession, tool: str, **arguments: object) -> str:
    result = await session.call_tool(tool, dict(arguments))
    assert not result.model_dump(by_alias=True).get("isError")
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def envelope(item: SessionMessage) -> Any:
    """Return a request, a response or a notification: ``mcp`` 1 wraps it in a root model."""
    return getattr(item.message, "root", item.message)


def left_over() -> set[str]:
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name for name in names if name.startswith("exec-client-mcp")}


async def cut_for(proxy: FaultProxy, client: Client, seconds: float) -> None:
    """Cut the link now; let it be made again after ``seconds``."""
    changes = client.state_changes()
    proxy.refusing = True
    proxy.cut_all()
    async for change in changes:
        if change.new is ClientState.RECOVERING:
            break
    asyncio.get_running_loop().call_later(seconds, setattr, proxy, "refusing", False)


@pytest.mark.parametrize("seconds", [0.5, 3.0])
async def test_one_mcp_session_answers_before_during_and_after_a_cut(
    server: ServerProcess, seconds: float
) -> None:
    async with FaultProxy(server.port) as proxy, connected(proxy.url) as client:
        async with numbers(client) as session:
            assert await call(session, "count", text="before") == "1 before"
            await cut_for(proxy, client, seconds)
            began = asyncio.get_running_loop().time()
            during = asyncio.create_task(call(session, "count", text="during"))
            assert await during == "2 during"
            # Timers of the loop may fire a clock tick early.
            assert asyncio.get_running_loop().time() - began > seconds - 0.1
            assert await call(session, "count", text="after") == "3 after"
            assert len((await session.list_tools()).tools) == 5
    assert proxy.connections == 2
    assert left_over() == set()


async def test_calls_get_through_each_once_while_the_link_is_cut_again_and_again(
    server: ServerProcess,
) -> None:
    def plan(number: int) -> Cut | None:
        # A resumption takes a few frames itself; cuts later than those hit calls and answers.
        return Cut("to-client" if number % 2 else "to-server", 6 + number) if number < 12 else None

    async with FaultProxy(server.port, plan) as proxy, connected(proxy.url) as client:
        async with numbers(client) as session:
            for number in range(1, 41):
                assert await call(session, "count", text="x") == f"{number} x"
    assert proxy.connections > 5


async def test_a_large_answer_and_much_stderr_pass(server: ServerProcess) -> None:
    async with connected(server.url) as client, numbers(client) as session:
        assert len(await call(session, "large", size=5_000_000)) == 5_000_000


@pytest.mark.extension("it puts a folder of its own on PATH")
async def test_the_environment_is_the_executors_with_the_parameters_laid_over_it(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THIS_MACHINE", "1")
    async with connected(server.url) as client, numbers(client, GIVEN="yes") as session:
        assert await call(session, "variable", name="GIVEN") == "yes"
        assert await call(session, "variable", name="PATH") == os.environ["PATH"]
        assert await call(session, "variable", name="OF_THIS_MACHINE") == "unset"


async def test_the_server_ends_with_the_block(server: ServerProcess) -> None:
    async with connected(server.url) as client:
        async with numbers(client) as session:
            pid = int(await call(session, "pid"))
        assert wait_gone(pid)
        assert client.state is ClientState.CONNECTED
        assert left_over() == set()


async def test_a_server_that_dies_fails_the_call_in_flight_and_those_after_it(
    server: ServerProcess,
) -> None:
    async with connected(server.url) as client:
        async with numbers(client) as session:
            with pytest.raises(CALL_FAILED, match="Connection closed"):
                await call(session, "die")
            with pytest.raises((CALL_FAILED, anyio.ClosedResourceError)):
                await call(session, "count", text="late")
        assert left_over() == set()


async def test_a_program_that_does_not_exist_is_refused(server: ServerProcess) -> None:
    params = StdioServerParameters(command="/no/such/program")
    async with connected(server.url) as client:
        with pytest.raises(RpcError):
            async with stdio_client(client, params):
                raise AssertionError("must not be entered")


async def test_a_line_that_is_no_message_is_reported_and_the_stream_goes_on(
    server: ServerProcess,
) -> None:
    async with connected(server.url) as client:
        async with stdio_client(client, python(ECHO)) as (read, write):
            assert isinstance(await read.receive(), ValueError)
            await write.send(PING)
            answer = await read.receive()
            assert isinstance(answer, SessionMessage)
            assert isinstance(envelope(answer), JSONRPCResponse)


async def test_a_server_ends_by_itself_at_the_end_of_its_stdin(
    server: ServerProcess, tmp_path: Path
) -> None:
    async with connected(server.url) as client:
        params = python(ENDS_WITH_ITS_STDIN, SAVED=str(tmp_path / "saved"))
        async with stdio_client(client, params) as (read, _):
            await read.receive()
        assert (tmp_path / "saved").exists()


async def test_a_server_that_ignores_the_end_of_its_stdin_is_killed(server: ServerProcess) -> None:
    async with connected(server.url) as client:
        async with stdio_client(client, python(IGNORES_THE_END)) as (read, _):
            first = await read.receive()
            assert not isinstance(first, Exception)
            pid = int(first.message.model_dump()["method"])
        assert wait_gone(pid)


async def test_cancelling_kills_the_server_and_leaves_no_task(server: ServerProcess) -> None:
    pids: list[int] = []

    async def use(client: Client) -> None:
        async with stdio_client(client, python(IGNORES_THE_END)) as (read, _):
            first = await read.receive()
            assert not isinstance(first, Exception)
            pids.append(int(first.message.model_dump()["method"]))
            scope.cancel()
            await asyncio.Event().wait()

    async with connected(server.url) as client:
        with anyio.CancelScope() as scope:
            await use(client)
        assert wait_gone(pids[0])
        assert left_over() == set()
        assert (await client.run(["echo", "on"])).stdout == b"on\n"


async def test_a_server_that_is_left_during_a_cut_is_killed_once_the_link_is_back(
    server: ServerProcess,
) -> None:
    async with FaultProxy(server.port) as proxy, connected(proxy.url) as client:
        async with stdio_client(client, python(IGNORES_THE_END)) as (read, _):
            first = await read.receive()
            assert not isinstance(first, Exception)
            pid = int(first.message.model_dump()["method"])
            await cut_for(proxy, client, 0.5)
        assert wait_gone(pid)
        assert left_over() == set()


async def test_a_stream_that_nobody_reads_keeps_the_server_waiting_and_loses_nothing(
    server: ServerProcess,
) -> None:
    options = ClientOptions(max_buffered_bytes=65_536)
    async with asyncio.timeout(WAIT_S), connect(server.url, options=options) as client:
        async with stdio_client(client, python(POURS)) as (read, _):
            assert (await client.run(["echo", "on"])).stdout == b"on\n"
            items = [item async for item in read]
    messages = [envelope(item) for item in items if isinstance(item, SessionMessage)]
    assert [message.model_dump()["params"]["n"] for message in messages] == list(range(2000))


async def test_an_error_in_the_block_comes_out_as_it_is(server: ServerProcess) -> None:
    async with connected(server.url) as client:
        with pytest.raises(LookupError, match="mine"):
            async with stdio_client(client, python(ECHO)):
                raise LookupError("mine")
        assert left_over() == set()


async def test_a_lost_session_is_reported_and_ends_the_stream() -> None:
    with ServerProcess() as own:
        options = ClientOptions(recovery_deadline=0)
        async with asyncio.timeout(WAIT_S), connect(own.url, options=options) as client:
            async with stdio_client(client, python(ECHO)) as (read, _):
                assert isinstance(await read.receive(), ValueError)
                own.signal(9)
                assert "exec-server" in str(await read.receive())
                with pytest.raises(anyio.EndOfStream):
                    await read.receive()


async def test_a_lost_acknowledgement_without_replay_ends_the_session_instead_of_hanging(
    server: ServerProcess,
) -> None:
    lost = asyncio.Event()

    def plan(number: int) -> Cut | None:
        return Cut("to-client", at) if number == 0 and lost.is_set() else None

    at = 0
    async with FaultProxy(server.port) as counting, connected(counting.url) as client:
        async with stdio_client(client, python(ECHO)) as (read, _):
            await read.receive()
            at = counting.frames["to-client"]
    lost.set()
    async with FaultProxy(server.port, plan) as proxy:
        async with connected(proxy.url, replay=False) as client:
            async with stdio_client(client, python(ECHO)) as (read, write):
                await read.receive()
                await write.send(PING)
                seen = [message async for message in read]
                with pytest.raises(anyio.BrokenResourceError):
                    await write.send(PING)
    assert isinstance(seen[-1], ConnectionBrokenError)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("import sys\nwhile True: sys.stdout.write('x' * 65_536)", ValueError),
        ("import os, time\nos.write(1, b'\\xff\\n'); time.sleep(100)", UnicodeDecodeError),
    ],
    ids=["line-without-end", "not-the-encoding"],
)
async def test_output_that_cannot_become_messages_is_reported_and_ends_the_stream(
    server: ServerProcess, script: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exec_client.mcp._MESSAGE_CHARACTERS", 1_000_000)
    async with connected(server.url) as client:
        async with stdio_client(client, python(script)) as (read, _):
            assert type(await read.receive()) is kind
            with pytest.raises(anyio.EndOfStream):
                await read.receive()
            assert (await client.run(["echo", "on"])).stdout == b"on\n"
        assert left_over() == set()
