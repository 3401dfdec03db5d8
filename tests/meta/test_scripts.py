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
        ["scripts/check_docstrings.py"],
        ["scripts/check_release.py"],
        ["scripts/write_error_tables.py"],
        ["-m", "exec_server_protocol.schema", "check"],
    ],
    ids=["module size", "docstrings", "release", "tables of errors", "schema"],
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


def test_a_docstring_that_asks_after_the_thing_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "queue.py"
    text = (
        '"""{}"""\n\n\nclass Queue:\n    """{}"""\n\n'
        '    def full(self) -> bool:\n        """Whether it is."""\n'
    )
    command = [sys.executable, "scripts/check_docstrings.py", str(tmp_path)]

    def gate(of_module: str, of_class: str) -> int:
        module.write_text(text.format(of_module, of_class))
        return subprocess.run(command, cwd=ROOT, timeout=30, check=False).returncode

    assert gate("Queue of requests.", "A queue.") == 0
    assert gate("What has to wait.", "A queue.") == 1
    assert gate("Queue of requests.", "Who has to wait.") == 1
