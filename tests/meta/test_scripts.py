"""The gates hold for this tree, and notice what they are for."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["scripts/check_module_size.py"],
        ["scripts/check_docstrings.py"],
        ["scripts/check_shape.py"],
        ["scripts/check_release.py"],
        ["scripts/write_error_tables.py"],
        ["-m", "exec_server_protocol.schema", "check"],
    ],
    ids=["module size", "docstrings", "shape", "release", "tables of errors", "schema"],
)
def test_the_gate_holds(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_docstring_that_asks_after_the_thing_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "queue.py"
    text = (
        '"""{}"""\n\n\nclass Queue:\n    """{}"""\n\n'
        '    def full(self) -> bool:\n        """Whether it is."""\n'
    )
    command = [sys.executable, "scripts/check_docstrings.py", str(tmp_path)]

    def gate(of_module: str, of_class: str) -> int:
        module.write_text(text.format(of_module, of_class))
        return subprocess.run(command, cwd=ROOT, timeout=30, check=False).returncode

    assert gate("Queue of requests.", "A queue.") == 0
    assert gate("What has to wait.", "A queue.") == 1
    assert gate("Queue of requests.", "Who has to wait.") == 1


def _shape() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_shape", ROOT / "scripts/check_shape.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    return module


def test_the_attributes_and_flags_of_a_class_are_counted() -> None:
    source = """
class Door:
    def __init__(self) -> None:
        self.open, self.locked = False, False
        self.width: int = 80
        other.height = 200

    def lock(self) -> None:
        self.locked = True
        self.width += 1
"""
    (door,) = ast.parse(source).body
    assert _shape().attributes(door) == ({"open", "locked", "width"}, {"locked"})


def test_a_class_above_the_limits_may_get_smaller_and_not_larger() -> None:
    shape = _shape()
    name, allowed = next(iter(shape.CLASSES.items()))
    assert shape.class_problem(name, allowed.attributes, allowed.flags) is None
    assert "shall not grow" in shape.class_problem(name, allowed.attributes + 1, allowed.flags)
    assert "lower" in shape.class_problem(name, allowed.attributes - 1, allowed.flags)
    assert "take it off" in shape.class_problem(name, 1, 0)
    assert "two classes" in shape.class_problem("door.py:Door", shape.ATTRIBUTES_MAX + 1, 0)
    assert "two classes" in shape.class_problem("door.py:Door", 5, shape.FLAGS_MAX + 1)
    assert shape.class_problem("door.py:Door", shape.ATTRIBUTES_MAX, shape.FLAGS_MAX) is None


def test_a_name_of_modules_that_recurs_is_noticed() -> None:
    shape = _shape()
    found = [f"room{number}/door.py" for number in range(shape.NAMES_MAX + 1)]
    assert shape.name_problem("door", found[:-1]) is None
    assert "room0/door.py" in shape.name_problem("door", found)
    assert "lower" in shape.name_problem("errors", ["a/errors.py"])
