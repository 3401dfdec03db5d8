"""The gates hold for this tree, and notice what they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["scripts/check_module_size.py"],
        ["scripts/check_release.py"],
        ["scripts/write_error_tables.py"],
        ["-m", "exec_server_protocol.schema", "check"],
    ],
    ids=["module size", "release", "tables of errors", "schema"],
)
def test_the_gate_holds(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
