"""Resolving paths by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.lookup import Lookup
from hypothesis import given, settings
from hypothesis import strategies as st


def resolve(path: object) -> tuple[str, tuple[bytes, ...], int]:
    found = Lookup().resolve(os.fsencode(str(path)))
    return os.fsdecode(found.path), found.missing, len(found.links)


def test_links_are_followed_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    found = Lookup().resolve(os.fsencode(tmp_path / "two/deep"))
    assert found.path == os.fsencode(tmp_path / "real/deep")
    assert found.links == (
        (os.fsencode(tmp_path / "two"), os.fsencode(tmp_path / "one")),
        (os.fsencode(tmp_path / "one"), b"real"),
    )


def test_what_is_missing_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert resolve(tmp_path / "no/such/thing") == (str(tmp_path), (b"no", b"such", b"thing"), 0)
    assert resolve(tmp_path / "file/below") == (str(tmp_path / "file"), (b"below",), 0)
    assert Lookup().resolve(os.fsencode(tmp_path / "no/x")).full == os.fsencode(tmp_path / "no/x")


def test_a_loop_and_a_climb_out_of_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "climb").symlink_to("missing/../..")
    with pytest.raises(PolicyNotEnforceableError, match="loop"):
        resolve(tmp_path / "loop")
    with pytest.raises(PolicyNotEnforceableError, match="climbs out"):
        resolve(tmp_path / "climb")


def test_nobody_climbs_above_the_root() -> None:
    assert resolve("/../../etc/..")[0] == "/"
    assert resolve("/")[0] == "/"


def test_one_look_sees_one_state(tmp_path: Path) -> None:
    lookup = Lookup()
    path = os.fsencode(tmp_path / "a")
    assert lookup.resolve(path).missing
    (tmp_path / "a").mkdir()
    assert lookup.resolve(path).missing
    assert not Lookup().resolve(path).missing


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.sampled_from(["a", "b", "c", ".", ".."]), min_size=1, max_size=4)


@settings(deadline=None)
@given(
    folders=st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=4),
    links=st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=2), STEPS), max_size=4),
    path=STEPS,
)
def test_resolving_agrees_with_the_system(
    tmp_path_factory: pytest.TempPathFactory,
    folders: list[list[str]],
    links: list[tuple[list[str], list[str]]],
    path: list[str],
) -> None:
    base = Path(os.path.realpath(tmp_path_factory.mktemp("tree")))
    for names in folders:
        base.joinpath(*names).mkdir(parents=True, exist_ok=True)
    for names, target in links:
        place = base.joinpath(*names)
        if not place.parent.is_dir() or os.path.lexists(place):
            continue
        if Path(os.path.realpath(place.parent)).is_relative_to(base):  # others clean up outside
            place.symlink_to("/".join(target))
    wanted = str(base) + "/" + "/".join(path)
    try:
        system = os.path.realpath(wanted, strict=True)
    except OSError:
        try:
            found = Lookup().resolve(os.fsencode(wanted))
        except PolicyNotEnforceableError:
            return
        # Where the system finds nothing, so do we, or what we found is not a folder.
        assert found.missing
        return
    assert resolve(wanted)[:2] == (system, ())
