"""A server that runs as nobody in particular, with a helper that nobody can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import exec_server_protocol
import fs_helper
import pytest
from exec_testkit.nobody import SERVER_AS_NOBODY
from exec_testkit.server import ServerProcess

__all__ = ["open_folder", "server_of_nobody"]

_PYTHON = "/usr/bin/python3"


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are closed."""
    folder = Path(os.path.realpath(tempfile.mkdtemp()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _environment(folder: Path) -> Path:
    """Make an environment with the helper, of an interpreter that every user can run."""
    made = subprocess.run([_PYTHON, "-m", "venv", "--without-pip", folder], capture_output=True)
    if made.returncode:
        pytest.skip("there is no interpreter that other users can run")
    (packages,) = folder.glob("lib/python3*/site-packages")
    for module in (fs_helper, exec_server_protocol):
        source = Path(str(module.__file__)).parent
        shutil.copytree(source, packages / source.name)
    helper = folder / "bin/fs-helper"
    code = "import sys\nfrom fs_helper.main import main\nsys.exit(main())\n"
    helper.write_text(f"#!{folder}/bin/python3\n{code}")
    helper.chmod(0o755)
    return helper


@contextmanager
def server_of_nobody() -> Iterator[ServerProcess]:
    """Start it; skips where it cannot be."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with open_folder() as folder:
        helper = _environment(folder / "environment")
        command = [sys.executable, "-c", SERVER_AS_NOBODY, "--exit-on-stdin-close"]
        with ServerProcess("--fs-helper", os.fspath(helper), command=command) as server:
            yield server
