"""One server for the recovery tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exec_testkit.server import ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process
