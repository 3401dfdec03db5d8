"""The same file system in several places: this machine, executors, and the reference."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from exec_client import Client, Environment, FileSystem, connect
from exec_server_protocol import PathUri, SandboxContext
from exec_testkit.server import ServerProcess

PLACES = {
    "local": "local",
    "local, sandboxed": "local",
    "remote": "remote",
    "remote, sandboxed": "remote",
    "reference": "reference_client",
    "reference, sandboxed": "reference_client",
}
"""Place to the fixture that has its files."""


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


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all tests of a module, so that they can share clients."""
    return "asyncio"


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[Environment]:
    """The environment of this machine."""
    async with Environment.local() as environment:
        yield environment


@pytest.fixture(scope="module")
async def remote(server: ServerProcess) -> AsyncIterator[Client]:
    """A client of our executor."""
    async with connect(server.url) as client:
        yield client


@pytest.fixture(scope="module")
async def reference_client(reference: ServerProcess) -> AsyncIterator[Client]:
    """A client of the reference executor."""
    async with connect(reference.url) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that every place sees under the same name, and may write to."""
    return tmp_path


@pytest.fixture(params=PLACES)
def fs(request: pytest.FixtureRequest, folder: Path) -> FileSystem:
    """The files of a place, which are those of this machine.

    A sandboxed one may write above the folder of the test: what is protected right below a
    root of its own would be seen in the folder otherwise.
    """
    files: FileSystem = request.getfixturevalue(PLACES[request.param]).fs
    if "sandboxed" not in request.param:
        return files
    root = PathUri.from_native(folder.parent)
    return files.with_sandbox(SandboxContext.workspace_write([root], exclude_slash_tmp=True))


@pytest.fixture
async def extended(fs: FileSystem) -> None:
    """For tests of what the reference does not have."""
    session = await fs.session()
    if not session.supports("fsMove"):
        pytest.skip("an extension")
