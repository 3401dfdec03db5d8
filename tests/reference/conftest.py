"""The reference server, where ``CODEX_BIN`` names it; skipped with a word elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.server import ServerProcess


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference server")
    home: Path = tmp_path_factory.mktemp("codex-home")
    command = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(command=command, env={**os.environ, "CODEX_HOME": str(home)}) as server:
        yield server
