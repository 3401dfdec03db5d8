"""One executor for the recovery tests of a module: ours, or the reference if asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exec_testkit.server import ServerProcess


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    if request.config.getoption("--executor") == "reference":
        yield request.getfixturevalue("reference")
        return
    with ServerProcess() as process:
        yield process
