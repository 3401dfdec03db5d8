"""The generator: what is checked in is what it writes, and it writes the same every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]
_GENERATED = ("types.py", "_registry_data.py", "schema/_facts.py")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Different hash seeds would show an order that depends on them.
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONHASHSEED": "random"}
    return subprocess.run(
        [sys.executable, "-B", str(folder / "tools" / "generate.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def copy(package: Path, tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("src", "tools"):
        shutil.copytree(package / part, tmp_path / part, ignore=ignore)
    return tmp_path


def test_what_is_checked_in_is_what_the_generator_writes(package: Path) -> None:
    done = _run(package, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "up to date" in done.stdout


def test_generating_twice_gives_the_same_bytes(package: Path, copy: Path) -> None:
    sources = copy / "src" / "app_server_protocol"
    for _ in range(2):
        for name in _GENERATED:
            with (sources / name).open("a", encoding="utf-8") as file:
                file.write("# damage\n")
        done = _run(copy)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("rewrote") == len(_GENERATED)
        for name in _GENERATED:
            original = package / "src" / "app_server_protocol" / name
            assert (sources / name).read_bytes() == original.read_bytes()


def test_a_module_that_is_out_of_date_is_shown_as_a_diff(copy: Path) -> None:
    module = copy / "src" / "app_server_protocol" / "types.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace("class FsCopyParams", "class FsKopyParams"), encoding="utf-8")
    done = _run(copy, "--check")
    assert done.returncode == 1
    assert "-class FsKopyParams(TypedDict):\n+class FsCopyParams(TypedDict):" in done.stdout
    assert "1 generated modules are out of date" in done.stdout


def test_a_method_without_a_known_result_stops_the_generator(copy: Path) -> None:
    overrides = copy / "src" / "app_server_protocol" / "_overrides.py"
    text = overrides.read_text(encoding="utf-8")
    line = '    "memory/reset": "MemoryResetResponse",\n'
    assert line in text
    overrides.write_text(text.replace(line, ""), encoding="utf-8")
    done = _run(copy)
    assert done.returncode == 2
    assert "memory/reset: no result type (likely: MemoryResetResponse)" in done.stderr


def test_one_command_follows_another_version(
    copy: Path, other_version: Callable[[str, str], Path], pinned: Mapping[str, Any]
) -> None:
    program = other_version('"mockExperimentalField"', '"newerField"')
    done = _run(copy, "--codex-bin", str(program))
    assert done.returncode == 0, done.stderr
    for line in (
        f"{pinned['version']} -> 9.9.9",
        "stable: 0 differences",
        "experimental: 2 differences",
        "    - ThreadStartParams.mockExperimentalField",
        '    + ThreadStartParams.newerField: optional, {"type":["null","string"]}',
        "rewrote app_server_protocol/types.py",
    ):
        assert f"{line}\n" in done.stdout
    assert _run(copy, "--check").returncode == 0
    code = "from app_server_protocol import experimental, schema; print(schema.main(['check']))"
    code += "; print(experimental.reason('thread/start', {'newerField': ''}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.endswith("\n0\nthread/start.newerField\n")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # A method without params whose result cannot be told from anything.
        ('"memory/reset"', '"memory/forget"', "memory/forget: no result type"),
        # A type that is written in a form that the generator does not know.
        ('"minLength"', '"maxLength"', "maxLength"),
    ],
)
def test_a_version_that_cannot_be_followed_changes_nothing(
    copy: Path, other_version: Callable[[str, str], Path], old: str, new: str, problem: str
) -> None:
    sources = copy / "src" / "app_server_protocol"
    before = {path: path.read_bytes() for path in sources.rglob("*") if path.is_file()}
    done = _run(copy, "--codex-bin", str(other_version(old, new)))
    assert done.returncode == 2
    assert problem in done.stderr
    for path, content in before.items():
        assert path.read_bytes() == content, path


def test_the_binary_gives_the_same_fixtures_and_modules(copy: Path, codex_bin: Path) -> None:
    sources = copy / "src" / "app_server_protocol"
    before = {path: path.read_bytes() for path in sources.rglob("*") if path.is_file()}
    done = _run(copy, "--codex-bin", str(codex_bin))
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stdout
    for path, content in before.items():
        assert path.read_bytes() == content, path
