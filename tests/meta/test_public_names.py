"""What the packages promise is what a reviewer has seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIGHT = ("errors", "limits", "path_uri", "helper")
HEAVY = ("pydantic", "websockets", "asyncio", "pybase64")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=30, check=False
    )


def test_no_name_appears_or_disappears_unseen() -> None:
    done = _run(str(ROOT / "scripts" / "check_public_names.py"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("module", [*(f"exec_server_protocol.{name}" for name in LIGHT)])
def test_modules_for_the_file_helper_load_no_heavy_library(module: str) -> None:
    done = _run(
        "-I",
        "-c",
        "import importlib, sys; importlib.import_module(sys.argv[1])\n"
        "print(*(name for name in sys.argv[2:] if name in sys.modules))",
        module,
        *HEAVY,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.parametrize("module", ["exec_server", "exec_client", "exec_server_protocol"])
def test_a_root_loads_its_names_on_first_use(module: str) -> None:
    done = _run("-I", "-c", f"import sys, {module}; print('pydantic' in sys.modules)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
