"""Patterns of files to hide."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

import pytest
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.globs import Glob, scan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def matches(folder: Path, pattern: str, depth: int | None = None) -> set[str]:
    files, _ = scan([Glob.parse(pattern, os.fsencode(folder))], max_depth=depth)
    return {os.path.relpath(os.fsdecode(path), folder) for path in files}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.env",
        ".env",
        "sub/b.env",
        "sub/deep/c.env",
        "sub/deep/.env",
        "sub/b.txt",
        "x1",
        "x2",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.env", {"a.env", ".env"}),
        ("**/*.env", {"a.env", ".env", "sub/b.env", "sub/deep/c.env", "sub/deep/.env"}),
        ("**/.env", {".env", "sub/deep/.env"}),
        ("sub/**", {"sub/b.env", "sub/b.txt", "sub/deep/c.env", "sub/deep/.env"}),
        ("sub/*/c.env", {"sub/deep/c.env"}),
        ("x[1]", {"x1"}),
        ("x[!1]", {"x2"}),
        ("x?", {"x1", "x2"}),
        ("./sub/../*.env", {"a.env", ".env"}),
        ("nothing/*.env", set()),
    ],
)
def test_a_pattern_matches(tree: Path, pattern: str, expected: set[str]) -> None:
    assert matches(tree, pattern) == expected
    assert matches(tree, f"{tree}/{pattern}") == expected


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, {"a.env", ".env"}),
        (2, {"a.env", ".env", "sub/b.env"}),
        (None, {"a.env", ".env", "sub/b.env", "sub/deep/c.env", "sub/deep/.env"}),
    ],
)
def test_the_search_goes_as_deep_as_it_is_told(
    tree: Path, depth: int | None, expected: set[str]
) -> None:
    assert matches(tree, "**/*.env", depth) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "*.{env,key}",
        "plain.txt",
        "~/x/*.env",
        "/*.env",
        "/**",
        "a\\*b",
        "[",
        "x[z-a]",
        "a" * 1024 + "*",
        "a/\0*",
    ],
)
def test_a_pattern_that_could_mean_something_else_is_refused(tree: Path, pattern: str) -> None:
    with pytest.raises(PolicyNotEnforceableError, match="cannot be expanded safely"):
        Glob.parse(pattern, os.fsencode(tree))


def test_a_folder_s_own_name_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[x]*"
    folder.mkdir()
    (folder / "a.env").write_text("")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b.env").write_text("")
    assert matches(folder, "*.env") == {"a.env"}


def test_folders_and_links_that_match_are_told_apart_from_files(tmp_path: Path) -> None:
    (tmp_path / "folder.env").mkdir()
    (tmp_path / "real.env").write_text("")
    (tmp_path / "link.env").symlink_to("elsewhere")
    found = scan([Glob.parse("*.env", os.fsencode(tmp_path))])
    assert found == ([os.fsencode(tmp_path / "real.env")], [os.fsencode(tmp_path / "link.env")])


def test_a_search_that_cannot_be_finished_is_refused(tree: Path) -> None:
    glob = Glob.parse("**/*.env", os.fsencode(tree))
    with pytest.raises(PolicyNotEnforceableError, match="too many files"):
        scan([glob], max_entries=3)
    with pytest.raises(PolicyNotEnforceableError, match="takes too long"):
        scan([glob], max_seconds=-1.0)


def test_names_that_are_not_text_can_be_hidden(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.env"
    with open(name, "wb"):
        pass
    assert scan([Glob.parse("*.env", os.fsencode(tmp_path))]) == ([name], [])


NAMES = st.text("ab.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
PARTS = st.lists(
    st.sampled_from(["*", "**", "a*", "?", "[ab]", "*.b", "a"]), min_size=1, max_size=3
)


def model(parts: list[str], names: list[str]) -> bool:
    """Match name by name, in the plainest way."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(model(parts[1:], names[skip:]) for skip in range(len(names))) or (
            len(parts) == 1 and bool(names)
        )
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and model(parts[1:], names[1:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6), PARTS)
def test_matching_agrees_with_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]], parts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    files: set[str] = set()
    for names in paths:
        try:
            folder.joinpath(*names[:-1]).mkdir(parents=True, exist_ok=True)
            folder.joinpath(*names).touch(exist_ok=False)
        except OSError:  # a file where another path has a folder
            continue
        files.add("/".join(names))
    if not any(set(part) & set("*?[") for part in parts):
        return
    expected = {path for path in files if model(parts, path.split("/"))}
    assert matches(folder, "/".join(parts)) == expected
