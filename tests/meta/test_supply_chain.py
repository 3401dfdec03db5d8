"""What runs before any of our code: by names that cannot be moved, with no right too many."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
SCRIPTS = [ROOT / ".ci/run", *WORKFLOWS]


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()[:1] != "#"]


def _load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_named_by_its_commit(path: Path) -> None:
    used = [line for line in _lines(path) if "uses:" in line]
    assert used
    form = re.compile(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in used if not form.fullmatch(line)] == []
    commits: dict[str, set[str]] = {}
    for line in used:
        action, _, commit = line.partition("uses: ")[2].partition("@")
        commits.setdefault(action, set()).add(commit)
    assert all(len(names) == 1 for names in commits.values()), "one commit and name for each"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_code_and_nothing_else(path: Path) -> None:
    lines = _lines(path)
    jobs = sum(line.startswith("runs-on:") for line in lines)
    assert "permissions: {}" in lines
    assert lines.count("permissions:") == lines.count("contents: read") == jobs
    assert not [line for line in lines if line.endswith((": write", "write-all", "read-all"))]
    assert lines.count("persist-credentials: false") == sum("actions/checkout@" in x for x in lines)
    assert not [line for line in lines if line.startswith("pull_request_target")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_nothing_is_installed_by_name_alone(path: Path) -> None:
    installs = [line for line in _lines(path) if "pip install" in line]
    assert installs
    assert [line for line in installs if "--require-hashes -r .ci/uv.txt" not in line] == []
    runs = [line for line in _lines(path) if re.search(r"\buv run\b", line)]
    assert [line for line in runs if "--locked" not in line] == []


def test_uv_has_one_version_that_the_workspace_takes_and_hashes_for_every_platform() -> None:
    text = (ROOT / ".ci/uv.txt").read_text()
    pins = re.findall(r"^([\w-]+)==([\d.]+) \\$", text, re.MULTILINE)
    assert [name for name, _ in pins] == ["uv"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["required-version"]
    floor = tuple(map(int, wanted.removeprefix(">=").split(".")))
    assert tuple(map(int, pins[0][1].split("."))) >= floor
    assert len(set(re.findall(r"--hash=sha256:[0-9a-f]{64}", text))) >= 15


VULNERABLE = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "text"),
    [
        (None, 3, "cannot be reached"),
        ([], 3, "cannot be reached"),
        ([UNKNOWN, UNKNOWN], 3, "2 of 2 packages are unknown"),
        ([CLEAN, UNKNOWN], 3, "1 of 2 packages are unknown"),
        ([CLEAN, CLEAN], 0, "no advisory about any of 2 packages"),
        ([CLEAN, VULNERABLE], 1, "a 1: CVE-1 (fixed in 2)"),
        ([VULNERABLE, UNKNOWN], 1, "a 1: CVE-1 (fixed in 2)"),
    ],
)
def test_advisories_pass_only_when_every_package_was_compared(
    packages: list[dict[str, Any]] | None, status: int, text: str
) -> None:
    report = None if packages is None else {"dependencies": packages}
    told, lines = _load_script("check_advisories").verdict(report)
    assert told == status
    assert text in "\n".join(lines)
