"""The walks of ARCHITECTURE.md name functions that exist, in the order in which they are called."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import pytest
from exec_client import Client, ClientState, connect
from exec_server import ServerConfig, serve
from exec_testkit.fault_proxy import FaultProxy

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## Three walks\n(.*?)^## ", re.MULTILINE | re.DOTALL)
WALK = re.compile(r"^### (.+)\n((?:(?!^###).*\n)+)", re.MULTILINE)
STATION = re.compile(r"`([\w/]+\.py): ([\w.]+)`")
SECONDS = 30.0
"""For one walk, which takes milliseconds."""


def texts() -> dict[str, str]:
    """Title of a walk to its text."""
    section = SECTION.search((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert section is not None
    return dict(WALK.findall(section[1]))


def stations(title: str, *packages: str) -> list[tuple[str, str]]:
    """The functions that a walk names: (module, name), of some packages or of all."""
    found = STATION.findall(texts()[title])
    return [station for station in found if not packages or station[0].startswith(packages)]


CHUNK, FILE, RESUME = texts()


def defined(module: str) -> Iterator[str]:
    """Names of the functions and methods that a module of any package defines."""
    (file,) = ROOT.glob(f"packages/*/src/{module}")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{member.name}"


@pytest.mark.parametrize("title", texts())
def test_each_function_of_a_walk_exists_in_the_module_that_it_names(title: str) -> None:
    named = stations(title)
    assert len(named) > 10
    assert [f"{where}: {name}" for where, name in named if name not in set(defined(where))] == []


@pytest.mark.parametrize("title", texts())
def test_a_walk_is_read_in_two_minutes(title: str) -> None:
    # 240 words a minute, a function counted as one.
    assert len(STATION.sub("function", texts()[title]).split()) < 480


@contextmanager
def followed() -> Iterator[list[tuple[str, str]]]:
    """The functions of our packages that this thread calls in the block, in order."""
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and "/src/" in path:
            calls.append((path.rpartition("/src/")[2], frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def assert_in_order(expected: list[tuple[str, str]], calls: list[tuple[str, str]]) -> None:
    """Assert that all stations are among the calls, in their order."""
    rest = iter(calls)
    for number, station in enumerate(expected):
        assert station in rest, f"{station} does not follow {expected[max(0, number - 1)]}"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Client, FaultProxy]]:
    """A client of a server, both in this process, with a link that can be cut."""
    async with asyncio.timeout(SECONDS), serve(ServerConfig()) as server:
        port = urlsplit(server.url).port
        assert port is not None
        async with FaultProxy(port) as proxy, connect(proxy.url) as client:
            yield client, proxy


async def test_an_output_chunk_goes_the_way_that_is_described() -> None:
    async with pair() as (client, _), await client.start(["cat"], stdin=True) as process:
        with followed() as calls:
            await process.write("a line\n")
            assert await process.stdout.readline() == b"a line\n"
    assert_in_order(stations(CHUNK), calls)


async def test_a_file_is_read_in_the_way_that_is_described(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a line\n")
    async with pair() as (client, _):
        assert await client.fs.exists(
            tmp_path / "notes.txt"
        )  # there is a worker now, and it is idle
        with followed() as calls:
            assert await client.fs.read_bytes(tmp_path / "notes.txt") == b"a line\n"
    # The helper is another process: its stations are only looked up.
    assert_in_order(stations(FILE, "exec_server", "exec_client"), calls)


async def test_a_session_is_resumed_in_the_way_that_is_described() -> None:
    async with pair() as (client, proxy), await client.start(["cat"], stdin=True) as process:
        await process.write("a line\n")
        await process.stdout.readline()  # something to have missed
        changes = client.state_changes()
        with followed() as calls:
            proxy.cut_all()
            assert [(await anext(changes)).new for _ in range(2)] == [
                ClientState.RECOVERING,
                ClientState.CONNECTED,
            ]
            await process.write("a line\n")
    # The two sides notice the cut independently.
    assert_in_order(stations(RESUME, "exec_client"), calls)
    assert_in_order(stations(RESUME, "exec_server/"), calls)
