"""An entry of the list of faults that does not fit any more is an error that says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exec_testkit.faults import Fault

FAULT = Fault("it is off by one", "code.py", "a + 1", "a + 2", "test_code.py::test_it[case]")


def test_what_has_become_of_a_text_or_a_test_is_told(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("b = a + 1\n")
    (tmp_path / "test_code.py").write_text("async def test_it(): ...\n")
    assert FAULT.misfits(tmp_path) == []
    for changed, said in [
        (replace(FAULT, old="a - 1"), "its text occurs 0 times in code.py"),
        (replace(FAULT, file="gone.py"), "its text occurs 0 times in gone.py"),
        (
            replace(FAULT, test="test_code.py::test_that"),
            "there is no test test_code.py::test_that",
        ),
        (replace(FAULT, test="test_gone.py::test_it"), "there is no test test_gone.py::test_it"),
        (replace(FAULT, test="test_code.py"), "there is no test test_code.py"),
    ]:
        assert changed.misfits(tmp_path) == [f"it is off by one: {said}"]
    (tmp_path / "code.py").write_text("b = a + 1\nc = a + 1\n")
    assert FAULT.misfits(tmp_path) == ["it is off by one: its text occurs 2 times in code.py"]
