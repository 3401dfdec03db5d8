"""``universal_pathlib`` on an executor: its paths name the executor, and do there what they say."""

from __future__ import annotations

import pickle
import stat
from pathlib import Path

import pytest
from exec_testkit.server import ServerProcess
from upath import UPath

pytestmark = pytest.mark.process


def _place(server: ServerProcess) -> str:
    return server.url.removeprefix("ws://")


def test_a_path_as_text_keeps_its_executor(
    server: ServerProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = UPath(f"exec://{_place(server)}{folder}")
    assert str(base) == f"exec://{_place(server)}{folder}"
    assert str(base / "a" / "b") == f"exec://{_place(server)}{folder}/a/b"
    assert UPath(str(base / "a")) == base / "a"
    assert str(pickle.loads(pickle.dumps(base))) == str(base)
    assert str((base / "a").relative_to(base)) == "a"
    assert base.path == str(folder)
    assert base != UPath(f"exec://elsewhere{folder}")
    assert str(UPath("execs://build/f") / "g") == "execs://build/f/g"
    assert str(UPath("exec://local/f")) == "exec://local/f"
    for name in ("EXEC_SERVER_URL", "CODEX_EXEC_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    assert str(UPath("exec:///f")) == "exec:///f"
    monkeypatch.setenv("EXEC_SERVER_URL", server.url)
    assert str(UPath("exec:///f")) == f"exec://{_place(server)}/f"


def test_paths_do_on_the_executor_what_they_say(server: ServerProcess, folder: Path) -> None:
    base = UPath(f"exec://{_place(server)}{folder}")
    (base / "d").mkdir()
    assert (base / "d/f.txt").write_text("text") == 4
    with (base / "d/f.txt").open("a") as file:
        file.write(" more")
    assert (folder / "d/f.txt").read_text() == "text more"
    (base / "d/e").touch()
    with pytest.raises(FileExistsError):
        (base / "d/e").touch(exist_ok=False)
    assert sorted(str(path) for path in (base / "d").iterdir()) == [
        str(base / "d/e"),
        str(base / "d/f.txt"),
    ]
    assert [path.name for path in base.glob("**/*.txt")] == ["f.txt"]
    assert stat.S_ISDIR((base / "d").stat().st_mode)
    assert stat.S_ISREG((base / "d/f.txt").stat().st_mode)
    (base / "d/f.txt").rename(base / "d/g.txt")
    assert (base / "d/g.txt").read_bytes() == b"text more"
    (base / "d/g.txt").unlink()
    (base / "d/e").unlink()
    (base / "d").rmdir()
    assert list(folder.iterdir()) == []


def test_a_copy_goes_to_the_executor_that_its_target_names(
    server: ServerProcess, folder: Path
) -> None:
    with ServerProcess() as second:
        source = UPath(f"exec://{_place(server)}{folder}/f")
        source.write_text("text")
        target = UPath(f"exec://{_place(second)}{folder}/g")
        assert str(source.copy(target)) == str(target)
        assert target.read_text() == "text"
        target.fs.close()
