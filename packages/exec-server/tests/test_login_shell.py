"""The shell that is told to clients: one that runs commands, whatever the account has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from exec_server.launching.login_shell import shell_for


@pytest.mark.parametrize(
    "recorded", ["", "/usr/sbin/nologin", "/bin/false", "/no/such/shell", "/bin", "sh"]
)
def test_an_account_without_a_shell_gets_one_that_runs_commands(recorded: str) -> None:
    shell = shell_for(recorded)
    assert os.path.basename(shell) in ("bash", "sh")
    done = subprocess.run([shell, "-c", "echo works"], capture_output=True, check=True, timeout=20)
    assert done.stdout == b"works\n"


def test_a_shell_that_cannot_be_executed_is_none(tmp_path: Path) -> None:
    shell = tmp_path / "zsh"
    shell.touch(0o644)
    assert shell_for(str(shell)) != str(shell)
    shell.chmod(0o755)
    assert shell_for(str(shell)) == str(shell)
