"""Options of the whole-system tests: how long to try, and against whom."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.server import ServerProcess

DEFAULT_CUTS = 150
DEFAULT_CHANGES = 250
DEFAULT_SEED = 28512


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exec-server")
    group.addoption(
        "--cuts",
        type=int,
        default=DEFAULT_CUTS,
        help="cuts of the seeded run; from 1000 on, every boundary meets every kind of fault",
    )
    group.addoption(
        "--changes",
        type=int,
        default=DEFAULT_CHANGES,
        help="changes of the disk under random sandbox policies",
    )
    group.addoption(
        "--load-seconds",
        type=int,
        default=0,
        help="how long the mixed load lasts after which memory is looked at; at least two rounds",
    )
    group.addoption(
        "--fault-seed", type=int, default=DEFAULT_SEED, help="seed of the faults, to repeat a run"
    )
    group.addoption(
        "--executor",
        choices=("ours", "reference"),
        default="ours",
        help="whom the client's tests talk to; the reference is the program named by CODEX_BIN",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "extension(reason): needs something that the reference server lacks"
    )
    config.addinivalue_line(
        "markers", "shortcut(name): is about what EXEC_SERVER_WITHOUT leaves out by this name"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = os.environ.get("EXEC_SERVER_WITHOUT", "").split(",")
    for item in items:
        for mark in item.iter_markers("shortcut"):
            if mark.args[0] in left_out:
                item.add_marker(pytest.mark.skip(reason=f"without {mark.args[0]}"))
    if config.getoption("--executor") == "ours":
        return
    for item in items:
        for mark in item.iter_markers("extension"):
            item.add_marker(pytest.mark.skip(reason=f"the reference lacks it: {mark.args[0]}"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The reference server, where ``CODEX_BIN`` names it; skipped with a word elsewhere."""
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference server")
    home: Path = tmp_path_factory.mktemp("codex-home")
    command = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(command=command, env={**os.environ, "CODEX_HOME": str(home)}) as server:
        yield server


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """One executor for the tests of a module: ours, or the reference if asked for."""
    if request.config.getoption("--executor") == "reference":
        yield request.getfixturevalue("reference")
        return
    with ServerProcess() as process:
        yield process
