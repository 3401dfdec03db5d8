"""The manifests of requirements and the tests that show them name each other."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "tests" / "requirements").glob("*.toml"))
TEST_FILES = sorted([*ROOT.glob("packages/*/tests/**/test_*.py"), *ROOT.glob("tests/**/test_*.py")])
STATUSES = {"tested", "deferred"}


def _entries() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for manifest in MANIFESTS:
        entries = tomllib.loads(manifest.read_text(encoding="utf-8"))
        twice = found.keys() & entries.keys()
        assert not twice, f"{manifest.name} repeats {sorted(twice)}"
        found |= entries
    return found


def _links(text: str) -> Iterator[str]:
    """Yield the ids in the ``requirement(...)`` decorators of a test file."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call):
                continue
            name = decorator.func
            called = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
            if called == "requirement":
                for argument in decorator.args:
                    assert isinstance(argument, ast.Constant), f"line {argument.lineno}: a literal"
                    yield str(argument.value)


def _tests_of(file: Path) -> set[str]:
    """The names of the test functions in a file."""
    return {
        node.name
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def _linked() -> dict[str, list[str]]:
    """Requirement to the files of its tests, whichever of the two names the other."""
    found: dict[str, list[str]] = {}
    for name, entry in _entries().items():
        for test in entry.get("shown_by", []):
            file, _, function = test.partition("::")
            assert function in _tests_of(ROOT / file), f"{name} names {test}, which does not exist"
            found.setdefault(name, []).append(file)
    for file in TEST_FILES:
        for requirement_id in _links(file.read_text(encoding="utf-8")):
            found.setdefault(requirement_id, []).append(str(file.relative_to(ROOT)))
    return found


def test_links_are_found_in_either_spelling() -> None:
    text = (
        '@requirement("A-1", "A-2")\ndef test_one(): ...\n'
        '@pytest.mark.requirement("B-1")\nasync def test_two(): ...\n'
        'requirement("not a decorator")\n'
    )
    assert sorted(_links(text)) == ["A-1", "A-2", "B-1"]


def test_every_race_and_every_invariant_of_a_lost_connection_has_a_test_that_names_it() -> None:
    races = [f"CLIENT-R{number:02}" for number in range(1, 21)]
    invariants = [f"CLIENT-INV-{number:02}" for number in range(1, 38)]
    linked = _linked()
    entries = _entries()
    assert [name for name in entries if name.startswith(("CLIENT-R", "CLIENT-INV-"))] == [
        *races,
        *invariants,
    ]
    assert [name for name in [*races, *invariants] if name not in linked] == []


def test_every_required_outcome_has_a_test() -> None:
    linked = _linked()
    entries = _entries()
    assert entries
    without = [
        name
        for name, entry in entries.items()
        if entry["status"] == "tested" and name not in linked
    ]
    assert without == []


def test_every_link_names_an_entry_that_is_not_deferred() -> None:
    entries = _entries()
    for name, files in _linked().items():
        assert name in entries, f"{files} show {name}, which no manifest has"
        assert entries[name]["status"] == "tested", f"{name} is deferred, but {files} show it"


@pytest.mark.parametrize("name", sorted(_entries()))
def test_an_entry_says_what_is_required_and_why_it_is_deferred(name: str) -> None:
    entry = _entries()[name]
    assert entry["text"].endswith(".")
    assert entry["source"]
    assert entry["status"] in STATUSES
    assert (entry["status"] == "deferred") == ("reason" in entry)
    assert entry.keys() <= {"text", "source", "status", "reason", "divergence", "shown_by"}
