"""Paths as callers write them, patterns, and the names of parts."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from exec_client.filesystem.paths import name_of, native, to_uri
from exec_client.filesystem.patterns import Pattern
from exec_client.filesystem.plan import part_name
from exec_server_protocol import PathUri
from exec_server_protocol.path_uri import InvalidPathError
from hypothesis import given
from hypothesis import strategies as st

CWD = PathUri.parse("file:///srv/work")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/srv/a b", "file:///srv/a%20b"),
        (Path("/srv/x"), "file:///srv/x"),
        (PurePosixPath("x/y"), "file:///srv/work/x/y"),
        ("x", "file:///srv/work/x"),
        (".", "file:///srv/work"),
        ("../x", "file:///srv/x"),
        ("file:///etc/hosts", "file:///etc/hosts"),
        ("./file:x", "file:///srv/work/file:x"),
        (b"/srv/\xff", "file:///srv/%FF"),
        (b"\xff", "file:///srv/work/%FF"),
        (os.fsdecode(b"/srv/\xff"), "file:///srv/%FF"),
        (PathUri.parse("file:///C:/x"), "file:///C:/x"),
    ],
)
def test_a_path_can_be_written_in_many_ways(path: str | bytes | Path, uri: str) -> None:
    assert str(to_uri(path, CWD)) == uri


@pytest.mark.parametrize("path", ["", b"", "a\0b", "http://x"])
def test_what_is_no_path_is_refused(path: str | bytes) -> None:
    with pytest.raises(InvalidPathError):
        to_uri(path, None)


def test_a_relative_path_needs_a_folder() -> None:
    with pytest.raises(InvalidPathError, match="absolute"):
        to_uri("x", None)


def test_a_path_of_windows_stays_a_uri() -> None:
    windows = PathUri.parse("file:///C:/work")
    assert str(to_uri("src\\x", windows)) == "file:///C:/work/src/x"
    assert native(windows) == "file:///C:/work"


NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, 47})


@given(st.lists(NAMES.filter(lambda name: name not in (b".", b"..")), max_size=4))
def test_bytes_go_there_and_back(names: list[bytes]) -> None:
    path = b"/" + b"/".join(names)
    uri = to_uri(path, None)
    assert os.fsencode(native(uri)) == path
    assert to_uri(native(uri), None) == uri
    assert os.fsencode(name_of(uri)) == (names[-1] if names else b"")


@pytest.mark.parametrize(
    ("text", "root", "parts"),
    [
        ("/srv/*.py", "/srv", ["*.py"]),
        ("/srv/a/b", "/srv/a/b", []),
        ("**/x", "./", ["**", "x"]),
        ("src//./[ab]?/y", "./src", ["[ab]?", "y"]),
        ("/*", "/", ["*"]),
    ],
)
def test_a_pattern_begins_where_its_first_wildcard_is(
    text: str, root: str, parts: list[str]
) -> None:
    pattern = Pattern(text)
    assert (pattern.root, pattern.parts) == (root, parts)


def test_a_wildcard_matches_no_hidden_name_unless_told() -> None:
    assert not Pattern("/*").matches("*", ".git")
    assert Pattern("/*", include_hidden=True).matches("*", ".git")
    assert Pattern("/.*").matches(".*", ".git")
    assert not Pattern("/*.PY").matches("*.PY", "a.py")


@given(NAMES, st.integers(0, 2**60), st.integers(0, 2**50))
def test_the_name_of_a_part_is_a_name_and_tells_versions_apart(
    name: bytes, size: int, modified_ms: int
) -> None:
    text = os.fsdecode(name)
    part = part_name(text, size, modified_ms)
    assert part.startswith(".")
    assert "/" not in part
    assert len(os.fsencode(part_name(text * 40, size, modified_ms))) <= 255
    versions = {
        part,
        part_name(text, size + 1, modified_ms),
        part_name(text, size, modified_ms + 1),
    }
    assert len(versions) == 3
