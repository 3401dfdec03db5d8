"""That nothing has changed is only said when it is true."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from exec_server.sandbox.disk_events import DiskEvents, Watch
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.lookup import Lookup
from exec_testkit.liveness import inotify_watches
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are no sandboxes")


@pytest.fixture
def events() -> Iterator[DiskEvents]:
    made = DiskEvents()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    base = Path(os.path.realpath(tmp_path))
    (base / "ws/sub").mkdir(parents=True)
    (base / "ws/file").write_text("x")
    (base / "other").mkdir()
    (base / "link").symlink_to("ws")
    (base / "abroad/Übung").mkdir(parents=True)
    os.mkdir(base / "ws/.git", 0o1555)
    os.close(os.open(base / "ws/.env", os.O_CREAT | os.O_WRONLY, 0o1400))
    return base


def look(site: Path) -> Lookup:
    lookup = Lookup()
    for path in (
        "link/sub",
        "ws/file",
        "ws/.git",
        "ws/.env",
        "ws/.codex",
        "abroad/Übung",
        "gone/x",
    ):
        lookup.resolve(os.fsencode(site / path))
    return lookup


def watch(events: DiskEvents, lookup: Lookup) -> Watch:
    watch = events.watch(lookup)
    assert watch is not None
    assert events.is_fresh(watch)
    return watch


def _exchange(one: Path, other: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    assert library.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0


def _retarget(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


@pytest.mark.parametrize(
    "change",
    [
        lambda site: (site / "ws/.codex").mkdir(),
        lambda site: (site / "ws/.codex").symlink_to("sub"),
        lambda site: os.mkfifo(site / "ws/.codex"),
        lambda site: os.link(site / "ws/file", site / "ws/.codex"),
        lambda site: (site / "other").rename(site / "ws/.codex"),
        lambda site: (site / "ws/file").unlink(),
        lambda site: (site / "ws/sub").rmdir(),
        lambda site: (site / "ws/sub").chmod(0o500),
        lambda site: (site / "ws/sub").rename(site / "other/sub"),
        lambda site: _exchange(site / "ws/sub", site / "other"),
        lambda site: _retarget(site / "link", "other"),
        lambda site: (site / "ws").rename(site / "old"),
        lambda site: (site / "gone").mkdir(),
        lambda site: (site / "abroad/Übung").rmdir(),
        lambda site: (site / "ws/.git").rmdir(),
        lambda site: (site / "ws/.git/config").write_text(""),
        lambda site: (site / "other").rename(site / "ws/.git/other"),
        lambda site: (site / "ws/.git").chmod(0o755),
        lambda site: (site / "ws/.env").write_text("secret"),
        lambda site: (site / "ws/.env").chmod(0o600),
    ],
)
def test_what_changes_a_name_is_noticed(
    events: DiskEvents, site: Path, change: Callable[[Path], object]
) -> None:
    lookup = look(site)
    watched = watch(events, lookup)
    change(site)
    assert not events.is_fresh(watched)
    assert not events.is_fresh(watched)  # and it stays so


def test_what_concerns_no_name_that_was_looked_at_is_not(events: DiskEvents, site: Path) -> None:
    watched = watch(events, look(site))
    (site / "ws/new").write_text("")
    (site / "ws/new").rename(site / "ws/newer")
    (site / "ws/file").write_text("longer than before")
    (site / "ws/sub/below").mkdir()
    (site / "other/.git").mkdir()
    assert events.is_fresh(watched)


def test_either_case_of_a_name_counts(events: DiskEvents, site: Path) -> None:
    watched = watch(events, look(site))
    (site / "ws/.CODEX").mkdir()  # in some folders that is another spelling of the same
    assert not events.is_fresh(watched)


def test_what_changed_while_it_was_looked_at_is_not_watched(events: DiskEvents, site: Path) -> None:
    lookup = look(site)
    (site / "ws/.codex").mkdir()
    assert events.watch(lookup) is None


def test_a_real_folder_that_could_become_a_mark_is_not_watched(
    events: DiskEvents, site: Path
) -> None:
    (site / "ws/.git/x").write_text("")
    lookup = look(site)
    assert lookup.is_unchanged()
    assert events.watch(lookup) is None


def test_file_systems_that_change_behind_the_kernel_s_back_are_not_watched(
    events: DiskEvents,
) -> None:
    lookup = Lookup()
    lookup.resolve(b"/proc/sys/kernel")
    assert events.watch(lookup) is None


def test_after_too_many_events_nothing_is_certain(events: DiskEvents, site: Path) -> None:
    watched = watch(events, look(site))
    names = (site / "ws/one", site / "ws/two")
    for name in names:
        name.write_text("")
    assert events.is_fresh(watched)
    for number in range(6000):  # in turn: equal events one after the other are one
        os.utime(names[number % 2])
    assert not events.is_fresh(watched)


_MOUNTS = """
import ctypes, os, sys
from exec_server.sandbox.disk_events import DiskEvents
from exec_server.sandbox.lookup import Lookup

path, over = map(os.fsencode, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
new_namespace, own_user, private = 0x20000, 0x10000000, 0x4000 | 0x40000
if libc.unshare(new_namespace | (own_user if os.geteuid() else 0)):
    sys.exit(77)
if libc.mount(b"none", b"/", None, private, None):
    sys.exit(77)
events, lookup = DiskEvents(), Lookup()
lookup.resolve(path)
watch = events.watch(lookup)
assert watch and events.is_fresh(watch)
assert libc.mount(b"none", over, b"tmpfs", 0, None) == 0
assert not events.is_fresh(watch)
assert events.watch(lookup) is None
"""


def test_a_mount_is_noticed(site: Path) -> None:
    command = [sys.executable, "-c", _MOUNTS, str(site / "ws/sub"), str(site / "ws")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("this user may not mount anything")
    assert done.returncode == 0, done.stderr.decode()


def test_what_is_forgotten_is_not_watched_any_more(events: DiskEvents, site: Path) -> None:
    before = inotify_watches()
    first, second = watch(events, look(site)), watch(events, look(site))
    held = inotify_watches()
    assert held > before
    events.forget(first)
    assert inotify_watches() == held
    assert events.is_fresh(second)
    assert not events.is_fresh(first)
    events.forget(second)
    assert inotify_watches() == before


def test_a_closed_one_says_nothing(events: DiskEvents, site: Path) -> None:
    lookup = look(site)
    watched = watch(events, lookup)
    events.close()
    assert not events.is_fresh(watched)
    assert events.watch(lookup) is None
    events.close()


NAMES = ("a", "b", "a/c", "b/c", "link", "a/.git")


CHANGES: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "mark": lambda path: os.mkdir(path, 0o1555),
    "file": lambda path: path.write_text(""),
    "link to a": lambda path: path.symlink_to("a"),
    "link to b": lambda path: path.symlink_to("b"),
    "unlink": Path.unlink,
    "rmdir": Path.rmdir,
    "mode": lambda path: path.chmod(0o700),
    "other mode": lambda path: path.chmod(0o755),
    "rename": lambda path: path.rename(path.with_name("b")),
    "rename back": lambda path: path.rename(path.with_name("a")),
}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(CHANGES))), max_size=6),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(CHANGES))), max_size=6),
)
def test_it_never_disagrees_with_a_look(
    before: list[tuple[str, str]],
    after: list[tuple[str, str]],
) -> None:
    events = DiskEvents()
    with TemporaryDirectory() as folder, closing(events):
        base = Path(os.path.realpath(folder))
        _apply(base, before)
        lookup = Lookup()
        for name in ("a/c", "b/c", "link/c", "a/.git"):
            with suppress(PolicyNotEnforceableError):  # links in a circle
                lookup.resolve(os.fsencode(base / name))
        watched = events.watch(lookup)
        for change in after:
            _apply(base, [change])
            if watched is not None and events.is_fresh(watched):
                assert lookup.is_unchanged()


def _apply(base: Path, changes: list[tuple[str, str]]) -> None:
    for name, change in changes:
        with suppress(OSError):
            CHANGES[change](base / name)
