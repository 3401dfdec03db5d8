"""Siblings do not know each other: neither in imports nor in what they require."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(file.parent for file in ROOT.glob("packages/*/pyproject.toml"))
ALLOWED = {
    "exec-server-protocol": set[str](),
    "app-server-protocol": set[str](),
    "exec-server": {"exec-server-protocol"},
    "exec-client": {"exec-server-protocol"},
    "exec-fs-helper": {"exec-server-protocol"},
}
"""Distribution to those of ours that it may require and import."""
OFFERED = {"exec-server": {"exec-fs-helper"}}
"""Distribution to those of ours that its extras may bring, as programs: nothing imports them."""


def _project(folder: Path) -> dict[str, object]:
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, object] = tomllib.loads(text)["project"]
    return project


def _module(folder: Path) -> str:
    (source,) = (path for path in (folder / "src").iterdir() if path.is_dir())
    return source.name


MODULES = {str(_project(folder)["name"]): _module(folder) for folder in FOLDERS}


def test_every_package_has_its_rule() -> None:
    assert MODULES.keys() == ALLOWED.keys()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_requires_no_sibling_but_the_protocol(folder: Path) -> None:
    project = _project(folder)
    name = str(project["name"])
    assert _names(project.get("dependencies", [])) & MODULES.keys() == ALLOWED[name]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})  # type: ignore[assignment]
    offered = set().union(*(_names(extra) for extra in extras.values())) - {name}
    assert offered & MODULES.keys() == OFFERED.get(name, set())


def test_the_extra_all_brings_every_other_extra_of_the_server() -> None:
    extras = _project(ROOT / "packages/exec-server")["optional-dependencies"]
    assert isinstance(extras, dict)
    (everything,) = extras.pop("all")
    assert everything == f"exec-server[{','.join(sorted(extras))}]"


def _names(required: object) -> set[str]:
    assert isinstance(required, list)
    return {re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0].lower() for line in required}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_imports_no_sibling_but_the_protocol(folder: Path) -> None:
    name = str(_project(folder)["name"])
    banned = {
        module for other, module in MODULES.items() if other not in {name, *ALLOWED[name]}
    } | {"exec_testkit", "pytest"}
    for file in sorted((folder / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots = {str(node.module).split(".")[0]}
            else:
                continue
            assert not roots & banned, f"{file}:{node.lineno}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_has_what_a_release_needs(folder: Path) -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE", f"src/{_module(folder)}/py.typed"):
        assert (folder / name).exists(), name
    license_text = (folder / "LICENSE").read_bytes()
    assert license_text == (ROOT / "LICENSE").read_bytes()


def test_the_module_that_server_and_client_both_have_is_the_same() -> None:
    server, client = (
        (ROOT / f"packages/exec-{side}/src/exec_{side}/{room}/tcp.py").read_bytes()
        for side, room in (("server", "transport"), ("client", "connection"))
    )
    assert server == client
