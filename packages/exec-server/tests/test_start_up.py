"""What a server loads before it has a client."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "pydantic",
        "httpx",
        "jwt",
        "cryptography",
        "exec_server.access.keys",
        "exec_server.handlers",
        "exec_server_protocol.process",
    ],
)
def test_a_server_that_waits_for_work_does_not_load(module: str) -> None:
    code = f"import sys, exec_server.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", ["pydantic", "httpcore"])
def test_a_server_that_serves_does_not_load(module: str) -> None:
    code = f"import sys, exec_server.service; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
