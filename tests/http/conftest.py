"""One server for the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from exec_testkit.server import ServerProcess

SECRET = "s3cret-of-the-executor"
"""Value of a variable of the server's environment; it must never be in a log."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a server that knows no proxy but those given."""
    ours = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**ours, "HTTP_TEST_SECRET": SECRET, **variables}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("--log-level", "debug", env=environment()) as process:
        yield process
