"""The same file system in several places: this machine, executors, and the reference."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from exec_client import Client, Environment, FileSystem, connect
from exec_testkit.server import ServerProcess

PLACES = ("local", "remote", "reference")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Our executor."""
    with ServerProcess() as server:
        yield server


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The reference executor, where ``CODEX_BIN`` names it."""
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference server")
    home = tmp_path_factory.mktemp("codex-home")
    command = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(command=command, env={**os.environ, "CODEX_HOME": str(home)}) as server:
        yield server


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Client | Environment]:
    """A client or an environment: what has files."""
    if request.param == "local":
        async with Environment.local() as environment:
            yield environment
    else:
        name = "server" if request.param == "remote" else "reference"
        url = request.getfixturevalue(name).url
        async with connect(url) as client:
            yield client


@pytest.fixture
def fs(place: Client | Environment) -> FileSystem:
    """The files of a place, which are those of this machine."""
    return place.fs


@pytest.fixture
async def extended(fs: FileSystem) -> None:
    """For tests of what the reference does not have."""
    session = await fs.session()
    if not session.supports("fsMove"):
        pytest.skip("an extension")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a place sees under the same name."""
    return tmp_path
