"""The start of ``exec-client run``: what is not loaded, and what is started before the rest is."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Final

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]

NOT_LOADED: Final = {
    "exec_client.cli.cp", "exec_client.cli.ls", "exec_client.cli.progress",
    "exec_client.cli.telemetry", "exec_client.environment", "exec_client.embedded",
    "exec_client.filesystem", "exec_client.http", "exec_client.mcp", "exec_client.sync",
    "exec_client.telemetry.otel", "exec_server_protocol.filesystem",
    "exec_server_protocol.process", "exec_server_protocol.schema",
    "fsspec", "httpx", "mcp", "opentelemetry", "opentelemetry.sdk", "pydantic", "rich", "shtab",
    "tomllib",
}  # fmt: skip
"""What a command on another executor does without. Whoever loads one of them here makes every
command wait for it."""

NOT_LOADED_BEFORE_THE_SERVER: Final = {
    "asyncio", "exec_client.client", "exec_server_protocol.rpc", "logging", "pydantic", "socket",
    "ssl", "websockets",
}  # fmt: skip
"""What is loaded while a server of our own comes up."""


def _modules(code: str, input: str = "") -> set[str]:
    """Run Python that prints the names of its modules as its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_a_command_loads_nothing_that_it_does_not_use(server_url: str) -> None:
    code = "import sys; from exec_client.cli import main; "
    code += f"main(['run', '--url', {server_url!r}, '--', 'true']); print(sorted(sys.modules))"
    modules = _modules(code)
    assert "exec_client.client" in modules
    assert modules.isdisjoint(NOT_LOADED)


def test_input_and_a_server_of_our_own_take_no_models() -> None:
    code = "import sys; from exec_client.cli import main; "
    code += "main(['run', '--timeout', '60', '--', 'cat']); print(sorted(sys.modules))"
    modules = _modules(code, input="hi\n")
    assert "exec_client.embedded" in modules
    assert "pydantic" not in modules


def test_a_session_is_resumed_without_models(server_url: str) -> None:
    code = f"""
import asyncio, sys
from exec_client.client import connect

async def main():
    async with connect({server_url!r}) as client:
        process = await client.start(["sh", "-c", "read line; echo $line; exit 3"], stdin=True)
        changes = client.state_changes()
        client._session._generation.abort()
        assert [(await anext(changes)).new.value for _ in range(2)] == ["recovering", "connected"]
        await process.write("hi\\n")
        assert await process.communicate() == (b"hi\\n", b"")
        assert await process.wait() == 3

asyncio.run(main())
print(sorted(sys.modules))
"""
    assert "pydantic" not in _modules(code)


def test_what_a_user_gets_is_a_model(server_url: str) -> None:
    code = f"""
import asyncio, sys
from exec_client.client import connect

async def main():
    async with connect({server_url!r}) as client:
        process = await client.start(["true"])
        await process.wait()
        loaded.extend({{"pydantic"}} & {{*sys.modules}})
        found = client.environment_info, await client.info(), await process.read()
        found += tuple(await client.list_processes())
        from exec_server_protocol._model import WireModel
        assert all(isinstance(one, WireModel) for one in found), found
        assert found[0] == found[1]
        assert client.environment_info is found[0]

loaded = []
asyncio.run(main())
print(loaded)
"""
    assert _modules(code) == set()


def test_a_server_of_our_own_is_started_before_the_rest_is_loaded() -> None:
    code = """
import os, sys

def look(event, _arguments):
    if event == "subprocess.Popen":
        print(sorted(sys.modules), flush=True)
        os._exit(0)

sys.addaudithook(look)
from exec_client.cli import main
main(["run", "--", "true"])
"""
    modules = _modules(code)
    assert "exec_client.server_program" in modules
    assert modules.isdisjoint(NOT_LOADED_BEFORE_THE_SERVER)


@pytest.mark.parametrize("words", [["run", "--url", "", "--", "true"], ["cp", "a", "b"]])
def test_no_server_is_started_for_a_command_line_that_is_wrong(words: list[str]) -> None:
    code = f"""
import sys

def look(event, _arguments):
    if event == "subprocess.Popen":
        started.append(event)

started = []
sys.addaudithook(look)
from exec_client.cli import main
assert main({words!r}) == 125
print(started)
"""
    assert _modules(code) == set()
