"""Mount points that are put into a folder for a while."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.placeholders import Placeholders, is_placeholder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="marks are for bubblewrap")


def marked(path: Path) -> bool:
    return is_placeholder(os.fsencode(path), path.lstat())


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
def test_a_mark_is_there_while_somebody_holds_it(tmp_path: Path, folder: bool) -> None:
    marks, path = Placeholders(), tmp_path / "m"
    mark = marks.hold(os.fsencode(path), folder=folder)
    assert marks.hold(os.fsencode(path), folder=folder) == mark
    assert path.is_dir() is folder
    assert marked(path)
    marks.release(mark)
    assert marked(path)
    marks.release(mark)
    assert not path.exists()


def test_the_last_of_several_servers_takes_it_away(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "m")
    one, other = Placeholders(), Placeholders()
    mark = one.hold(path, folder=True)
    assert other.hold(path, folder=True) == mark
    one.release(mark)
    assert marked(tmp_path / "m")
    other.release(mark)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
def test_one_that_a_killed_server_left_is_taken_over(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "m"
    code = (
        "import os, sys; from exec_server.sandbox.placeholders import Placeholders;"
        f"Placeholders().hold(os.fsencode(sys.argv[1]), folder={folder}); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert marked(path)
    marks = Placeholders()
    marks.release(marks.hold(os.fsencode(path), folder=folder))
    assert not path.exists()


def test_what_somebody_else_put_there_is_left_alone(tmp_path: Path) -> None:
    marks = Placeholders()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("folder")
    for name in ("folder", "file", "link"):
        with pytest.raises(PolicyNotEnforceableError):
            marks.hold(os.fsencode(tmp_path / name), folder=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "link"]


def test_a_mark_that_somebody_began_to_use_stays(tmp_path: Path) -> None:
    marks, path = Placeholders(), tmp_path / "m"
    mark = marks.hold(os.fsencode(path), folder=True)
    path.chmod(0o755)
    (path / "config").write_text("mine")
    marks.release(mark)
    assert (path / "config").read_text() == "mine"


@pytest.mark.parametrize("name", ["real", "empty", "sticky", "full"])
def test_real_things_are_no_marks(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    if name == "sticky":
        path.chmod(0o1777)
    if name == "full":
        (path / "x").write_text("")
        path.chmod(0o1555)
    assert not marked(path)
    path.chmod(0o755)


def test_a_folder_that_cannot_be_written_cannot_be_marked(tmp_path: Path) -> None:
    with pytest.raises(PolicyNotEnforceableError):
        Placeholders().hold(b"/proc/self/m", folder=True)


@pytest.mark.slow
def test_threads_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "m")
    shared, failures = Placeholders(), []

    def work(marks: Placeholders) -> None:
        try:
            for _ in range(100):
                mark = marks.hold(path, folder=True)
                assert marked(tmp_path / "m")
                marks.release(mark)
        except (OSError, PolicyNotEnforceableError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(m,)) for m in (shared, shared, Placeholders())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not os.path.lexists(path)


def test_no_link_is_followed_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(PolicyNotEnforceableError):
        Placeholders().hold(os.fsencode(tmp_path / "link/m"), folder=True)
    assert os.listdir(tmp_path / "real") == []


def test_a_mark_is_taken_from_the_folder_that_it_was_made_in(tmp_path: Path) -> None:
    marks, path = Placeholders(), os.fsencode(tmp_path / "root/m")
    (tmp_path / "root").mkdir()
    old = marks.hold(path, folder=True)
    (tmp_path / "root").rename(tmp_path / "moved")
    (tmp_path / "root").mkdir()
    new = marks.hold(path, folder=True)
    assert old != new
    marks.release(old)
    assert os.listdir(tmp_path / "moved") == []
    assert os.listdir(tmp_path / "root") == ["m"]
    (tmp_path / "root").rename(tmp_path / "again")
    (tmp_path / "root").symlink_to("moved")
    marks.release(new)
    assert os.listdir(tmp_path / "again") == []


def test_one_that_somebody_took_away_is_made_again(tmp_path: Path) -> None:
    marks, path = Placeholders(), tmp_path / "m"
    mark = marks.hold(os.fsencode(path), folder=True)
    path.rmdir()
    assert marks.hold(os.fsencode(path), folder=True) == mark
    assert marked(path)
    marks.release(mark)
    assert marked(path)
    marks.release(mark)
    assert not path.exists()
