"""What the documents show is what happens, and what they link to is there."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from exec_server_protocol import METHODS, errors

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BIN = Path(sys.executable).parent


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _python_blocks() -> list[tuple[str, str]]:
    return [
        (f"{_name(file)}-{number}", block)
        for file in DOCUMENTS
        for number, block in enumerate(_blocks(file.read_text(encoding="utf-8"), "python"))
    ]


@pytest.mark.parametrize("file", DOCUMENTS, ids=_name)
def test_links_inside_the_repository_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (file.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("file", DOCUMENTS, ids=_name)
def test_a_test_that_a_document_names_is_there(file: Path) -> None:
    named = re.findall(r"`((?:tests|packages)/[\w/.-]+\.py)`", file.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=_name)
def test_a_module_that_a_document_names_is_there(file: Path) -> None:
    named = re.findall(r"`([a-z_]+/[\w/]+\.py)[`:]", file.read_text(encoding="utf-8"))
    sources = [
        str(source)
        for source in [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("testkit/src/**/*.py")]
    ]
    sources += [str(ROOT / name) for name in named if (ROOT / name).exists()]
    assert [name for name in named if not any(s.endswith("/" + name) for s in sources)] == []


@pytest.mark.parametrize(
    "block", [b for _, b in _python_blocks()], ids=[n for n, _ in _python_blocks()]
)
def test_a_python_example_imports_what_exists(block: str) -> None:
    if block.startswith(">>>"):
        return  # the doctests below run these
    tree = compile(
        block, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    )
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        module = importlib.import_module(str(node.module))
        for alias in node.names:
            assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


@pytest.mark.parametrize("file", [f for f in DOCUMENTS if ">>> " in f.read_text()], ids=_name)
def test_interactive_examples_print_what_is_shown(file: Path) -> None:
    result = doctest.testfile(str(file), module_relative=False, encoding="utf-8")
    assert result.attempted
    assert result.failed == 0


def test_every_method_that_is_offered_and_every_code_is_documented() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for method in METHODS.values():
        refused = method.family == "filesystem"
        assert refused or f"`{method.name}" in text, method.name
        assert method.extension is None or refused or f"`{method.extension}`" in text
    codes = {getattr(errors, name) for name in errors.__all__ if name.isupper()}
    assert {str(code) for code in codes} <= set(re.findall(r"^\| (-\d+) \|", text, re.MULTILINE))


@pytest.mark.process
def test_the_first_command_of_the_readme_does_what_it_shows() -> None:
    """Everything after ``uv run``, in the environment of this test."""
    console = _blocks((ROOT / "README.md").read_text(encoding="utf-8"), "console")[0]
    command, *shown = console.split("$ ")[1].splitlines()
    line = command.split("uv run ")[1]
    assert line.startswith("exec-client run ")
    done = subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() + done.stderr.splitlines() == shown
    assert console.split("$ ")[2].splitlines() == ["echo $?", str(done.returncode)]


@pytest.mark.parametrize(
    ("document", "program"),
    [
        ("packages/exec-server/README.md", "exec-server"),
        ("packages/exec-client/README.md", "exec-client"),
    ],
)
def test_documented_options_exist(document: str, program: str) -> None:
    """Options in tables, so that help and documents do not drift apart."""
    text = (ROOT / document).read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `--")]
    documented = set(re.findall(r"--[a-z][a-z-]+", " ".join(rows)))
    shown = subprocess.run(
        [BIN / program, "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert documented <= set(re.findall(r"--[a-z][a-z-]+", shown))


@pytest.mark.process
@pytest.mark.parametrize("file", EXAMPLES, ids=_name)
def test_an_example_runs(file: Path, tmp_path: Path) -> None:
    """Each starts an executor of its own and says at its end what it prints."""
    text = file.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line[2:] for line in text.split("# Prints:\n")[1].splitlines()]
    assert done.stdout.splitlines() == shown
