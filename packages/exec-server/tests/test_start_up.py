"""What a server has loaded, and when: each module here costs a first user some milliseconds.

The figures are in ``nox -s bench``; a test that measured them would fail on a busy machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from exec_server.config import ServerConfig
from exec_server.service import Service
from exec_server.version import VERSION
from exec_server_protocol.methods import REQUESTS

SERVE = """
import sys
sys.modules["trio"] = None  # httpcore loads it where it is installed, as for other tests here
import asyncio, json, struct, sys
from exec_server.cli import ServerConfig, serve
from exec_testkit.door import UPGRADE_REQUEST

loaded = {}

async def ask(reader, writer, number, method, params):
    text = json.dumps({"id": number, "method": method, "params": params}).encode()
    writer.write(struct.pack("!BBHI", 0x81, 0xFE, len(text), 0) + text)
    while f'"id":{number}' not in (message := (await frame(reader)).decode()):
        pass
    return message

async def frame(reader):
    first, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(size)

async def main():
    async with serve(ServerConfig()) as server:
        loaded["banner"] = sorted(sys.modules)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
        writer.write(UPGRADE_REQUEST)
        await reader.readuntil(b"\\r\\n\\r\\n")
        assert "sessionId" in await ask(reader, writer, 1, "initialize", {"clientName": "t"})
        loaded["first answer"] = sorted(sys.modules)
        text = b'{"method":"initialized"}'
        writer.write(struct.pack("!BBI", 0x81, 0x80 | len(text), 0) + text)
        start = {"processId": "p", "argv": ["true"], "cwd": "file:///", "env": {}, "tty": False}
        assert "result" in await ask(reader, writer, 2, "process/start", start)
        loaded["first process"] = sorted(sys.modules)
        http = {"method": "GET", "url": "http://127.0.0.1:1/", "requestId": "r"}
        assert "cannot connect" in await ask(reader, writer, 3, "http/request", http)
        loaded["first http answer"] = sorted(sys.modules)
        file = {"path": "file:///"}
        assert "isDirectory" in await ask(reader, writer, 4, "fs/getMetadata", file)
        loaded["first file answer"] = sorted(sys.modules)
        writer.close()

asyncio.run(main())
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Modules that a server has loaded at each point of its life."""
    done = subprocess.run(
        [sys.executable, "-c", SERVE], check=False, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return {point: set(names) for point, names in json.loads(done.stdout).items()}


ALWAYS = ["pydantic", "pydantic_core", "httpx", "opentelemetry", "jwt", "cryptography"]
FILES = ["exec_server.handlers.files", "exec_server.workers.workers", "exec_server.sandbox.plan"]
HTTP = ["exec_server.http.request", "httpcore", "h11", "anyio", "certifi"]
PROCESSES = ["exec_server.handlers.process"]
SERVICE = [
    "exec_server.service",
    "exec_server.session.registry",
    "exec_server.launching.spawn",
    "exec_server_protocol.methods",
    "exec_server_protocol._params",
]
LATER = {
    "banner": [*ALWAYS, *FILES, *HTTP, *PROCESSES, *SERVICE, "exec_server.access.keys"],
    "first answer": [*ALWAYS, *FILES, *HTTP, *PROCESSES],
    "first process": [*ALWAYS, *FILES, *HTTP],
    "first http answer": [*ALWAYS, *FILES, "idna", "h2"],
    "first file answer": [*ALWAYS, "ctypes"],
}


@pytest.mark.parametrize(
    ("point", "module"), [(point, module) for point, names in LATER.items() for module in names]
)
def test_a_module_is_not_loaded_before_it_is_needed(
    loaded: dict[str, set[str]], point: str, module: str
) -> None:
    assert module not in loaded[point]


@pytest.mark.parametrize(
    ("point", "modules"),
    [
        ("first answer", SERVICE),
        ("first process", PROCESSES),
        ("first http answer", HTTP),
        ("first file answer", FILES[:2]),
    ],
)
def test_the_names_in_this_test_are_those_of_modules(
    loaded: dict[str, set[str]], point: str, modules: list[str]
) -> None:
    assert set(modules) <= loaded[point]


def test_every_method_has_a_handler_in_the_family_of_its_name() -> None:
    handlers = Service(ServerConfig(), 0.0).handlers
    assert handlers.get("no/such") is None
    assert handlers.load_all().keys() == REQUESTS.keys()
    assert all(handlers.get(name) is not None for name in REQUESTS)


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_the_program_leaves_the_collector_as_it_was() -> None:
    code = "import gc, exec_server.cli; assert gc.isenabled() and not gc.get_freeze_count()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
