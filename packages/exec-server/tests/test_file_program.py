"""Which program carries out file operations, and what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exec_server.workers.program import (
    describe_helper,
    find_helper,
    helper_environment,
    hold_helper,
)
from exec_server_protocol.errors import InternalError


def script(path: Path, first: str = "#!/bin/sh") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{first}\n")
    path.chmod(0o755)
    return path


def test_a_configured_program_has_to_be_there(tmp_path: Path) -> None:
    elsewhere = script(tmp_path / "bin/fs-helper")
    environ = {"PATH": str(elsewhere.parent)}
    for wrong in (tmp_path / "missing", tmp_path):
        with pytest.raises(InternalError, match=r"configured path.*exec-fs-helper"):
            find_helper(str(wrong), environ)
    closed = script(tmp_path / "closed")
    closed.chmod(0o644)
    with pytest.raises(InternalError, match=r"configured path.*exec-fs-helper"):
        find_helper(str(closed), environ)


def test_a_program_that_is_no_python_script_runs_as_it_is(tmp_path: Path) -> None:
    program = script(tmp_path / "helper")
    found = find_helper(str(program), {})
    assert found.command == (os.fsencode(program),)
    assert found.files == (os.fsencode(program),)


@pytest.mark.skipif(sys.platform != "linux", reason="programs are held on Linux")
def test_what_comes_to_its_place_later_is_not_run(tmp_path: Path) -> None:
    program = script(tmp_path / "helper")
    held = hold_helper(str(program), {})
    program.unlink()
    script(program, "#!/bin/false")
    executable = describe_helper(held, {}).program.executable
    assert subprocess.run(["helper"], executable=executable, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="programs are held on Linux")
def test_the_one_on_path_is_found_when_there_is_none_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    program = script(tmp_path / "bin/fs-helper")
    assert find_helper(None, {"PATH": str(program.parent)}).command == (os.fsencode(program),)
    beside = script(tmp_path / "fs-helper")
    assert find_helper(None, {"PATH": str(program.parent)}).command == (os.fsencode(beside),)
    beside.unlink()
    with pytest.raises(InternalError, match=r"beside Python or on PATH.*exec-fs-helper"):
        find_helper(None, {"PATH": str(tmp_path)})


def test_a_script_of_an_environment_without_the_helper_is_said_to_be_incomplete(
    tmp_path: Path,
) -> None:
    bare = tmp_path / "bin/python"
    bare.parent.mkdir()
    bare.symlink_to(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    program = script(tmp_path / "bin/fs-helper", f"#!{bare}")
    with pytest.raises(InternalError, match="exec-fs-helper"):
        find_helper(str(program), {"PATH": os.environ["PATH"]})


def test_a_helper_gets_four_variables_and_nothing_else() -> None:
    four = {"PATH": "/bin", "TMPDIR": "/t", "TMP": "/t", "TEMP": "/t"}
    secrets = {"HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "LD_PRELOAD": "x", "PYTHONPATH": "x"}
    assert helper_environment({**four, **secrets}) == four
    assert helper_environment({"PATH": "/bin"}) == {"PATH": "/bin"}
