"""Servers that confine: as the tests' own user, and as nobody in particular."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from exec_server.sandbox.interpreter import executable
from exec_server.sandbox_check.escapes import ESCAPED, Site
from exec_server.sandbox_check.target import Target, attempt, read_results
from exec_testkit.nobody import NOBODY, SERVER_AS_NOBODY
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient


def _runs(python: str, user: int | None) -> bool:
    try:
        return subprocess.run([python, "-c", ""], check=False, user=user, cwd="/").returncode == 0
    except OSError:
        return False


class Executor(NamedTuple):
    """A server, and who it runs as.

    Attributes:
        url: Where it listens.
        owner: Its user, ``None`` for the tests' own.
        python: An interpreter that this user can run.
    """

    url: str
    owner: int | None
    python: str

    def target(self) -> Target:
        """Return something to escape to that belongs to the server's user."""
        return Target(owner=self.owner, python=self.python)

    async def attempt(
        self, names: Sequence[str], site: Site, sandbox: dict[str, Any] | None
    ) -> dict[str, tuple[str, str]]:
        """Try ways out; returns how each ended."""
        client = await WireClient.ready(self.url)
        command = attempt(names, site, python=self.python)
        await client.start("p", command, cwd=f"file://{site.root}", sandbox=sandbox)
        output, code, _ = await client.finish("p")
        await client.close()
        assert code in (0, ESCAPED), output
        return read_results(output["stdout"])


@pytest.fixture(scope="module", params=["own", "nobody"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "own":
        with ServerProcess() as server:
            yield Executor(server.url, None, os.fsdecode(executable()))
        return
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    pythons = [p for p in (sys.executable, "/usr/bin/python3") if _runs(p, NOBODY)]
    if not pythons:
        pytest.skip("there is no interpreter that other users can run")
    command = [sys.executable, "-c", SERVER_AS_NOBODY, "--exit-on-stdin-close"]
    with ServerProcess(command=command) as server:
        yield Executor(server.url, NOBODY, pythons[0])


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A workspace ``ws`` and a neighbour ``out`` that holds ``secret``."""
    base = Path(os.path.realpath(tmp_path))
    (base / "ws/sub").mkdir(parents=True)
    (base / "out").mkdir()
    (base / "out/secret").write_text("secret")
    return base
