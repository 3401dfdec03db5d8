"""MCP over HTTP with the official SDK: its requests are made by the executor.

``mcp`` 2 makes its requests with httpx2, which has no transport here: these tests run with
``mcp`` 1, in the session ``tests-lowest``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx
import pytest
from exec_client import Client, connect
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import LoggingMessageNotificationParams, TextContent

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(
        version("mcp").partition(".")[0] != "1", reason="mcp 2 needs a transport of httpx2"
    ),
]

WAIT_S = 45.0
"""For one test: the SDK and uvicorn take seconds to import on a busy machine."""

SERVER = """
import asyncio, socket, uvicorn
from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("numbers", json_response=False)

@server.tool()
async def count(upto: int, ctx: Context) -> str:
    for number in range(upto):
        await ctx.info(str(number))
    return f"counted to {upto}"

@server.tool()
def large(size: int) -> str:
    return "x" * size

@server.tool()
async def slow() -> str:
    await asyncio.sleep(3600)
    return "never"

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="error", lifespan="on")
uvicorn.Server(config).run(sockets=[listener])
"""


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@asynccontextmanager
async def session(
    client: Client, url: str, logs: list[str] | None = None
) -> AsyncIterator[ClientSession]:
    async def log(params: LoggingMessageNotificationParams) -> None:
        if logs is not None:
            logs.append(params.data)

    async with (
        httpx.AsyncClient(transport=client.http.transport()) as web,
        streamable_http_client(url, http_client=web) as streams,  # type: ignore[arg-type]
        ClientSession(streams[0], streams[1], logging_callback=log) as mcp,
    ):
        await mcp.initialize()
        yield mcp


async def text_of(mcp: ClientSession, tool: str, **arguments: object) -> str:
    result = await mcp.call_tool(tool, arguments)
    assert not result.model_dump(by_alias=True).get("isError")
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


@requirement("HTTP-MCP-01")
async def test_tools_are_called_and_their_messages_come_while_they_run(
    server: ServerProcess, mcp_url: str
) -> None:
    async with asyncio.timeout(WAIT_S):
        logs: list[str] = []
        async with connect(server.url) as client, session(client, mcp_url, logs) as mcp:
            assert {tool.name for tool in (await mcp.list_tools()).tools} == {
                "count",
                "large",
                "slow",
            }
            assert await text_of(mcp, "count", upto=100) == "counted to 100"
            assert logs == [str(number) for number in range(100)]
            assert len(await text_of(mcp, "large", size=3_000_000)) == 3_000_000
            many = [text_of(mcp, "count", upto=number) for number in range(30)]
            assert await asyncio.gather(*many) == [f"counted to {number}" for number in range(30)]


async def test_sessions_that_end_leave_nothing_on_the_executor(
    server: ServerProcess, mcp_url: str
) -> None:
    async with asyncio.timeout(WAIT_S), connect(server.url) as client:
        for _ in range(3):
            async with session(client, mcp_url) as mcp:
                call = asyncio.ensure_future(text_of(mcp, "slow"))
                await text_of(mcp, "count", upto=1)
                call.cancel()
                await asyncio.wait([call])
        bodies = (await client.http.session()).bodies
        assert len(bodies) == 0
        # Each session had an open event stream: the executor would refuse the 257th.
        results = await asyncio.gather(
            *(client.http.request("GET", mcp_url, timeout=20) for _ in range(255))
        )
        assert {response.status for response in results} == {406}
