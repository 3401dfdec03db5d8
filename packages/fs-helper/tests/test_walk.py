"""Trees walked: the rules one by one, and all of them against an independent model."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.helper import Request, decode_error
from exec_server_protocol.path_uri import PathUri
from fs_helper.errors import errno_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Ask = Callable[..., Any]


def options(**more: Any) -> dict[str, Any]:
    return {
        "maxDepth": 10,
        "maxDirectories": 1000,
        "maxEntries": 1000,
        "followDirectorySymlinks": False,
        **more,
    }


def shown(answer: Any, root: Path) -> list[tuple[str, str]]:
    base = str(PathUri.from_native(root)).rstrip("/") + "/"
    assert all(entry["path"].startswith(base) for entry in answer["entries"])
    return [(entry["path"][len(base) :], entry["kind"]) for entry in answer["entries"]]


def names(answer: Any, root: Path) -> list[str]:
    return [name for name, _kind in shown(answer, root)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for directory in ("b/y", "a/x", ".h/in", "c"):
        (tmp_path / directory).mkdir(parents=True)
    for file in ("a/x/deep", "a/1", "b/y/2", "top", ".h/in/3", "Z"):
        (tmp_path / file).write_text("x")
    return tmp_path


def test_a_walk_is_breadth_first_and_sorted(ask: Ask, tree: Path) -> None:
    answer = ask("fs/walk", path=tree, options=options())
    assert shown(answer, tree) == [
        (".h", "directory"), ("Z", "file"), ("a", "directory"), ("b", "directory"),
        ("c", "directory"), ("top", "file"),
        (".h/in", "directory"), ("a/1", "file"), ("a/x", "directory"), ("b/y", "directory"),
        (".h/in/3", "file"), ("a/x/deep", "file"), ("b/y/2", "file"),
    ]  # fmt: skip
    assert answer["errors"] == []
    assert answer["truncated"] is False


def test_depth_and_hidden_directories(ask: Ask, tree: Path) -> None:
    answer = ask("fs/walk", path=tree, options=options(maxDepth=0))
    assert names(answer, tree) == [".h", "Z", "a", "b", "c", "top"]
    assert answer["truncated"] is False
    answer = ask("fs/walk", path=tree, options=options(maxDepth=1))
    assert names(answer, tree)[6:] == [".h/in", "a/1", "a/x", "b/y"]
    answer = ask("fs/walk", path=tree, options=options(pruneHiddenDirectories=True))
    assert ".h" in names(answer, tree)
    assert ".h/in" not in names(answer, tree)


def test_a_hidden_directory_may_be_entered_under_a_visible_name(ask: Ask, tree: Path) -> None:
    (tree / "v").symlink_to(".h")
    more = options(pruneHiddenDirectories=True, followDirectorySymlinks=True)
    found = names(ask("fs/walk", path=tree, options=more), tree)
    assert "v/in/3" in found
    assert ".h/in" not in found


def test_limits_of_entries_and_directories(ask: Ask, tree: Path) -> None:
    answer = ask("fs/walk", path=tree, options=options(maxEntries=4))
    assert len(answer["entries"]) == 4
    assert answer["truncated"] is True
    assert ask("fs/walk", path=tree, options=options(maxEntries=13))["truncated"] is False
    answer = ask("fs/walk", path=tree, options=options(maxDirectories=2))
    assert answer["truncated"] is True
    found = names(answer, tree)
    assert ".h/in" in found
    assert "a" in found
    assert "a/1" not in found


def test_what_is_not_shown_costs_an_entry_unless_it_cannot_be_looked_at(
    ask: Ask, tmp_path: Path
) -> None:
    (tmp_path / "1").symlink_to("9")
    os.mkfifo(tmp_path / "2")
    (tmp_path / "3").symlink_to("nothing")
    (tmp_path / "9").write_text("x")
    answer = ask("fs/walk", path=tmp_path, options=options(maxEntries=3))
    assert names(answer, tmp_path) == ["9"]
    assert answer["truncated"] is False
    answer = ask("fs/walk", path=tmp_path, options=options(maxEntries=2))
    assert answer["entries"] == []
    assert answer["truncated"] is True


def test_an_alias_or_a_pruned_directory_does_not_spend_the_directory_budget(
    ask: Ask, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "z").symlink_to("a")
    (tmp_path / ".h").mkdir()
    more = {"maxDirectories": 2, "pruneHiddenDirectories": True}
    answer = ask("fs/walk", path=tmp_path, options=options(followDirectorySymlinks=True, **more))
    assert names(answer, tmp_path) == [".h", "a", "z"]
    assert answer["truncated"] is False
    answer = ask("fs/walk", path=tmp_path, options=options(maxDepth=0, maxDirectories=1))
    assert answer["truncated"] is False


@pytest.mark.parametrize(
    "bad",
    [
        {"maxDirectories": 0}, {"maxEntries": 0}, {"maxDepth": 65}, {"maxDirectories": 10001},
        {"maxEntries": 50001},
    ],
)  # fmt: skip
def test_limits_are_checked_before_the_root(
    fails: Callable[..., str], tmp_path: Path, bad: dict[str, int]
) -> None:
    fails(-32600, "fs/walk", path=tmp_path / "missing", options=options(**bad))


def test_the_largest_limits_are_legal(ask: Ask, tree: Path) -> None:
    largest = options(maxDepth=64, maxDirectories=10_000, maxEntries=50_000)
    assert len(ask("fs/walk", path=tree, options=largest)["entries"]) == 13


def test_roots_that_are_no_directories(ask: Ask, fails: Callable[..., str], tree: Path) -> None:
    (tree / "link").symlink_to("a")
    (tree / "broken").symlink_to("nothing")
    os.mkfifo(tree / "fifo")
    nothing = {"entries": [], "errors": [], "truncated": False}
    for name in ("top", "fifo", "link"):
        assert ask("fs/walk", path=tree / name, options=options()) == nothing
    for name in ("missing", "broken"):
        fails(-32004, "fs/walk", path=tree / name, options=options())
    followed = ask("fs/walk", path=tree / "link", options=options(followDirectorySymlinks=True))
    assert names(followed, tree / "link") == ["1", "x", "x/deep"]


def test_a_real_directory_is_entered_once_whatever_its_names(ask: Ask, tree: Path) -> None:
    (tree / "c/link").symlink_to("../a")
    (tree / "c/back").symlink_to("..")
    (tree / "c/file").symlink_to("../top")
    assert not [n for n in names(ask("fs/walk", path=tree, options=options()), tree) if "c/" in n]
    found = names(ask("fs/walk", path=tree, options=options(followDirectorySymlinks=True)), tree)
    assert "c/link" in found
    assert "c/back" in found
    assert "c/file" not in found
    assert "c/back/a" not in found
    assert sum(name.endswith("/deep") for name in found) == 1


def test_names_that_are_not_utf8_are_reported(ask: Ask, tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path)
    os.mkdir(raw + b"/d\xff")
    os.close(os.open(raw + b"/f\xff", os.O_CREAT))
    os.symlink(".", raw + b"/s\xff")
    os.symlink("nothing", raw + b"/b\xff")
    (tmp_path / "�").write_text("fine")
    answer = ask("fs/walk", path=tmp_path, options=options())
    base = str(PathUri.from_native(tmp_path))
    message = errno_text(errno.ENOENT)
    assert answer["errors"] == [
        {"path": f"{base}/{letter}%EF%BF%BD", "message": message} for letter in "dfs"
    ]
    assert names(answer, tmp_path) == ["%EF%BF%BD"]


def test_an_unreadable_directory_is_reported(
    ask: Ask, as_nobody: Callable[..., Any], public_path: Path
) -> None:
    for name in ("closed", "open"):
        (public_path / name).mkdir()
        (public_path / name / "f").write_text("x")
    (public_path / "closed").chmod(0)
    base = str(PathUri.from_native(public_path))
    error = {"path": f"{base}/closed", "message": errno_text(errno.EACCES)}
    answer = as_nobody(lambda: ask("fs/walk", path=public_path, options=options()))
    assert names(answer, public_path) == ["closed", "open", "open/f"]
    assert answer["errors"] == [error]
    root = as_nobody(lambda: ask("fs/walk", path=public_path / "closed", options=options()))
    assert root == {"entries": [], "errors": [error], "truncated": False}


def test_an_answer_stops_at_its_budget(ask: Any, tmp_path: Path) -> None:
    name = "n" * 200
    for number in range(40):
        inner = tmp_path / f"{number:02}"
        inner.mkdir()
        for letter in range(500):
            (inner / f"{letter:03}{name}").touch()
    answer = ask("fs/walk", path=tmp_path, options=options(maxEntries=50_000))
    assert answer["truncated"] is True
    spent = sum(len(entry["path"]) + 64 for entry in answer["entries"])
    assert 4 * 1024 * 1024 - 400 < spent <= 4 * 1024 * 1024
    assert len(ask.frames) > 10


# ---------------------------------------------------------------------- against a model

NAMES = st.sampled_from(["a", "b", ".h", "é", "C:", "x y", b"\xff"])
NODES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["file", "fifo", "->.", "->..", "->a", "->b", "->nothing"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
TREES = st.dictionaries(NAMES, NODES, max_size=5)
OPTIONS = st.fixed_dictionaries(
    {
        "maxDepth": st.integers(0, 4),
        "maxDirectories": st.integers(1, 8),
        "maxEntries": st.integers(1, 20),
        "followDirectorySymlinks": st.booleans(),
        "pruneHiddenDirectories": st.booleans(),
    }
)


def build(place: bytes, nodes: dict[Any, Any]) -> None:
    for name, node in nodes.items():
        path = os.path.join(place, os.fsencode(name))
        if isinstance(node, dict):
            os.mkdir(path)
            build(path, node)
        elif node == "file":
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        elif node == "fifo":
            os.mkfifo(path)
        else:
            os.symlink(node[2:], path)


def model(root: str, opts: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str], bool]:
    """The rules once more, with other tools: strings, pathlib, one level after the other."""
    entries: list[tuple[str, str]] = []
    errors: list[str] = []
    truncated = False
    counted, entered = 0, 1
    seen = {Path(root).resolve()}
    level = [Path(root)]
    for depth in range(opts["maxDepth"] + 1):
        below: list[Path] = []
        for directory in level:
            visible = [child for child in directory.iterdir() if child.exists()]
            lossy = {c: os.fsencode(c.name).decode("utf-8", "replace") for c in visible}
            for child in sorted(visible, key=lambda c: lossy[c].encode()):
                if counted == opts["maxEntries"]:
                    return entries, errors, True
                counted += 1
                place = child.relative_to(root).as_posix()
                if os.fsencode(child.name) != lossy[child].encode():
                    errors.append((Path(place).parent / lossy[child]).as_posix())
                elif child.is_dir():
                    if child.is_symlink() and not opts["followDirectorySymlinks"]:
                        continue
                    entries.append((place, "directory"))
                    hidden = opts["pruneHiddenDirectories"] and child.name.startswith(".")
                    if depth == opts["maxDepth"] or hidden or child.resolve() in seen:
                        continue
                    if entered == opts["maxDirectories"]:
                        truncated = True
                        continue
                    entered += 1
                    seen.add(child.resolve())
                    below.append(child)
                elif child.is_file() and not child.is_symlink():
                    entries.append((place, "file"))
        level = below
    return entries, errors, truncated


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(nodes=TREES, opts=OPTIONS)
def test_a_walk_agrees_with_the_model(
    ask: Ask, nodes: dict[Any, Any], opts: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        build(os.fsencode(root), nodes)
        entries, errors, truncated = model(root, opts)
        answer = ask("fs/walk", path=Path(root), options=opts)
        assert [
            (os.fsdecode(PathUri.parse(entry["path"]).to_native()), entry["kind"])
            for entry in answer["entries"]
        ] == [(f"{root}/{place}", kind) for place, kind in entries]
        assert [
            PathUri.parse(error["path"]).to_native().decode() for error in answer["errors"]
        ] == [f"{root}/{place}" for place in errors]
        assert answer["truncated"] is truncated


def test_options_of_another_shape_are_refused(ask: Any, tmp_path: Path) -> None:
    uri = str(PathUri.from_native(tmp_path))
    shapes: list[Any] = [
        None,
        [],
        {},
        {**options(), "maxDepth": None},
        {**options(), "maxEntries": -1},
    ]
    for bad in shapes:
        request = Request("fs/walk", {"path": uri, "options": bad})
        frames = list(ask.dispatcher.answer(1, request, None))
        assert decode_error(frames[-1][0][9:]).code == -32602
