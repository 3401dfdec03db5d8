"""What rules come to on a disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from exec_server.sandbox.errors import PolicyNotEnforceableError
from exec_server.sandbox.globs import Glob
from exec_server.sandbox.guarded import Guarded
from exec_server.sandbox.plan import MOUNTS_MAX, Base, Kind, Plan, make_plan
from exec_server.sandbox.rules import Access, Confinement, Rules
from hypothesis import given, settings
from hypothesis import strategies as st

READ, WRITE, DENY = Access.READ, Access.WRITE, Access.DENY


def plan(
    paths: dict[object, Access],
    globs: Iterable[str] = (),
    readable: Iterable[object] = (),
    guarded: Iterable[Iterable[object]] = (),
) -> Plan:
    rules = Rules(
        Confinement.FULL,
        "restricted",
        {os.fsencode(str(path)): access for path, access in paths.items()},
        tuple(Glob.parse(pattern, None) for pattern in globs),
    )
    return make_plan(
        rules,
        readable=[os.fsencode(str(path)) for path in readable],
        guarded=Guarded(*(tuple(os.fsencode(str(p)) for p in paths) for paths in guarded)),
    )


def kinds(made: Plan, below: Path) -> dict[str, Kind]:
    """Return what is done with each path, relative to a folder."""
    return {os.path.relpath(os.fsdecode(mount.path), below): mount.kind for mount in made.mounts}


PROTECTED = {f"ws/{name}": Kind.BLOCK_FOLDER for name in (".git", ".agents", ".codex", ".aws")}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    base = Path(os.path.realpath(tmp_path))
    (base / "ws/sub/deep").mkdir(parents=True)
    (base / "out").mkdir()
    (base / "ws/file").write_text("x")
    return base


def test_a_writable_root_with_names_that_nobody_can_make(site: Path) -> None:
    made = plan({"/": READ, site / "ws": WRITE})
    assert made.base is Base.READABLE
    assert kinds(made, site) == {"ws": Kind.WRITE, **PROTECTED}
    assert [mount.path for mount in made.marks] == [m.path for m in made.mounts if m.source is None]
    status = (site / "ws").stat()
    source = made.mounts[0].source
    assert source is not None
    assert (source.device, source.inode) == (status.st_dev, status.st_ino)


def test_existing_protected_names_are_mounted_read_only(site: Path) -> None:
    (site / "ws/.git").mkdir()
    (site / "ws/.codex").write_text("a file")
    found = kinds(plan({"/": READ, site / "ws": WRITE}), site)
    assert found["ws/.git"] is Kind.READ
    assert found["ws/.codex"] is Kind.READ


def test_a_rule_for_exactly_that_path_lifts_the_protection(site: Path) -> None:
    (site / "ws/.git").mkdir()
    found = kinds(plan({"/": READ, site / "ws": WRITE, site / "ws/.git": WRITE}), site)
    assert found["ws/.git"] is Kind.WRITE


def test_a_protected_link_to_what_cannot_be_written_is_hidden(site: Path) -> None:
    (site / "ws/.git").symlink_to(site / "out")
    made = plan({"/": READ, site / "ws": WRITE, site / "ws/.git": READ})
    found = {mount.path: mount for mount in made.mounts if mount.kind is Kind.HIDE_LINK}
    assert found[bytes(site / "ws/.git")].target == b"gitdir: %b\n" % bytes(site / "out")


def test_a_protected_link_to_what_can_be_written_is_refused_by_name(site: Path) -> None:
    link, wanted = site / "ws/.git", f"{site}/ws/.git: it is a link to {site}/ws/sub"
    link.symlink_to("sub")
    with pytest.raises(PolicyNotEnforceableError, match=wanted):
        plan({"/": READ, site / "ws": WRITE})
    link.unlink()
    (site / "ws/sub/way").symlink_to(site / "out")  # somebody inside could turn it elsewhere
    link.symlink_to("sub/way")
    with pytest.raises(PolicyNotEnforceableError, match="could write or replace"):
        plan({"/": READ, site / "ws": WRITE})


def test_what_a_git_file_points_to_is_protected_as_well(site: Path) -> None:
    own = site / "ws/repository/.git/worktrees/tree"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..")
    (site / "ws/.git").write_text(f"gitdir: {own}")
    found = kinds(plan({"/": READ, site / "ws": WRITE}), site)
    assert found["ws/.git"] is Kind.READ
    assert found["ws/repository/.git"] is Kind.READ
    assert found["ws/repository"] is Kind.PIN


def test_the_most_specific_rule_counts(site: Path) -> None:
    made = plan({"/": READ, site / "ws": WRITE, site / "ws/sub": READ, site / "ws/sub/deep": WRITE})
    found = kinds(made, site)
    assert (found["ws"], found["ws/sub"], found["ws/sub/deep"]) == (
        Kind.WRITE,
        Kind.READ,
        Kind.WRITE,
    )


def test_a_denied_folder_can_be_opened_for_writing_below_and_not_for_reading(site: Path) -> None:
    denied = {"/": READ, site / "ws": WRITE, site / "ws/sub": DENY}
    found = kinds(plan({**denied, site / "ws/sub/deep": READ}), site)
    assert found["ws/sub"] is Kind.HIDE_FOLDER
    assert "ws/sub/deep" not in found
    made = plan({**denied, site / "ws/sub/deep": WRITE})
    assert kinds(made, site)["ws/sub/deep"] is Kind.WRITE
    assert [m.opened for m in made.mounts if m.kind is Kind.HIDE_FOLDER] == [True]


def test_a_missing_path_that_is_denied_or_read_only_cannot_be_made(site: Path) -> None:
    for access in (DENY, READ):
        rules = {"/": READ, site / "ws": WRITE, site / "ws/sub/no/such": access}
        found = kinds(plan(rules), site)
        assert found["ws/sub/no"] is Kind.BLOCK_FILE
        assert found["ws/sub"] is Kind.PIN
    rules = {"/": READ, site / "ws": WRITE, site / "out/no": DENY}
    assert kinds(plan(rules), site) == {"ws": Kind.WRITE, **PROTECTED}


def test_a_missing_root_is_skipped(site: Path) -> None:
    assert kinds(plan({"/": READ, site / "no": WRITE}), site) == {}


def test_folders_on_the_way_to_a_restricted_path_cannot_be_renamed(site: Path) -> None:
    (site / "ws/sub/deep/secret").write_text("x")
    found = kinds(plan({"/": READ, site / "ws": WRITE, site / "ws/sub/deep/secret": DENY}), site)
    assert found["ws/sub/deep/secret"] is Kind.HIDE_FILE
    assert (found["ws/sub"], found["ws/sub/deep"]) == (Kind.PIN, Kind.PIN)


@pytest.mark.parametrize("access", [READ, DENY])
def test_a_rule_through_a_link_that_a_confined_program_could_replace_is_refused(
    site: Path, access: Access
) -> None:
    (site / "ws/link").symlink_to(site / "out")
    with pytest.raises(PolicyNotEnforceableError, match="leads through a link"):
        plan({"/": READ, site / "ws": WRITE, site / "ws/link": access})


def test_a_link_in_the_workspace_grants_nothing_outside(site: Path) -> None:
    (site / "ws/link").symlink_to(site / "out")
    with pytest.raises(PolicyNotEnforceableError, match="leads through a link"):
        plan({"/": READ, site / "ws": WRITE, site / "ws/link": WRITE})


def test_a_root_named_through_an_alias_is_the_real_one(site: Path) -> None:
    (site / "alias").symlink_to("ws")
    made = plan({"/": READ, site / "alias": WRITE})
    assert kinds(made, site) == {"ws": Kind.WRITE, **PROTECTED}
    hidden = plan({site / "alias": WRITE})
    assert kinds(hidden, site) == {"alias": Kind.LINK, "ws": Kind.WRITE, **PROTECTED}
    assert [m.target for m in hidden.mounts if m.kind is Kind.LINK] == [b"ws"]


def test_a_write_rule_for_one_file_covers_the_file(site: Path) -> None:
    assert kinds(plan({"/": READ, site / "ws/file": WRITE}), site) == {"ws/file": Kind.WRITE}


def test_files_that_match_are_hidden_and_new_ones_change_the_plan(site: Path) -> None:
    pattern = f"{site}/ws/**/*.env"
    (site / "ws/sub/a.env").write_text("")
    rules: dict[object, Access] = {"/": READ, site / "ws": WRITE}
    before = plan(rules, [pattern])
    assert kinds(before, site)["ws/sub/a.env"] is Kind.HIDE_FILE
    assert before == plan(rules, [pattern])
    assert hash(before) == hash(plan(rules, [pattern]))
    (site / "ws/sub/deep/b.env").write_text("")
    assert plan(rules, [pattern]) != before


def test_a_link_that_matches_hides_what_it_leads_to(site: Path) -> None:
    (site / "ws/secret").write_text("")
    (site / "ws/sub/a.env").symlink_to("../secret")
    found = kinds(plan({"/": READ}, [f"{site}/ws/**/*.env"]), site)
    assert found == {"ws/secret": Kind.HIDE_FILE}


def test_a_plan_changes_when_the_disk_does(site: Path) -> None:
    rules: dict[object, Access] = {"/": READ, site / "ws": WRITE}
    first = plan(rules)
    (site / "ws").rename(site / "old")
    (site / "ws").mkdir()
    second = plan(rules)
    (site / "ws/.git").mkdir()
    third = plan(rules)
    assert len({first, second, third}) == 3
    (site / "ws/unrelated").write_text("")
    assert plan(rules) == third


def test_a_retargeted_alias_is_another_plan(site: Path) -> None:
    (site / "alias").symlink_to("ws")
    before = plan({"/": READ, site / "alias": WRITE})
    (site / "alias").unlink()
    (site / "alias").symlink_to("out")
    assert plan({"/": READ, site / "alias": WRITE}) != before


def test_marks_of_another_sandbox_change_nothing(site: Path) -> None:
    rules: dict[object, Access] = {"/": READ, site / "ws": WRITE}
    before = plan(rules)
    os.mkdir(site / "ws/.git", 0o1555)
    assert plan(rules) == before


def test_what_a_worker_needs_is_visible_in_a_denied_folder_and_nothing_beside_it(
    site: Path,
) -> None:
    (site / "ws/helper").write_text("")
    made = plan({"/": READ, site / "ws": DENY}, readable=[site / "ws/helper"])
    assert kinds(made, site) == {"ws": Kind.HIDE_FOLDER, "ws/helper": Kind.READ}


def test_the_server_s_own_programs_cannot_be_written_through_a_folder_above(site: Path) -> None:
    made = plan({"/": READ, site / "ws": WRITE}, guarded=[[site / "ws/sub/deep", site / "out"]])
    found = kinds(made, site)
    assert found["ws/sub/deep"] is Kind.READ
    assert found["ws/sub"] is Kind.PIN
    assert "out" not in found


def test_a_file_that_a_rule_shows_and_a_pattern_denies_is_hidden(site: Path) -> None:
    (site / "ws/x.env").write_text("")
    made = plan({"/": READ, site / "ws/x.env": WRITE}, globs=[f"{site}/ws/*.env"])
    assert kinds(made, site) == {"ws/x.env": Kind.HIDE_FILE}
    assert [mount.path for mount in made.mounts].count(bytes(site / "ws/x.env")) == 1


def test_more_mounts_than_there_may_be_are_refused(site: Path) -> None:
    many: dict[object, Access] = {"/": READ}
    for number in range(MOUNTS_MAX + 1):
        folder = site / "ws" / str(number)
        folder.mkdir()
        many[folder] = WRITE if number % 2 else DENY
    with pytest.raises(PolicyNotEnforceableError, match="more than"):
        plan(many)


# ---------------------------------------------------------------------- against a plain model

NAMES = ("a", "b")
PLACES = ["", *NAMES, *(f"{x}/{y}" for x in NAMES for y in NAMES)]
PLACES += [f"{x}/{y}/{z}" for x in NAMES for y in NAMES for z in NAMES]


def expected(rules: dict[str, Access], place: str, outer: Access | None) -> Access | None:
    """Return what may be done at a place, from the words of the specification."""
    access = outer
    parts = place.split("/") if place else []
    for length in range(len(parts) + 1):
        rule = rules.get("/".join(parts[:length]))
        if rule is None or (rule is READ and access is DENY):
            continue
        access = rule
    return access


def effective(made: Plan, path: bytes) -> Access | None:
    """Return what may be done at a path, as the mounts come to lie on each other."""
    access = {Base.EMPTY: None, Base.READABLE: READ, Base.WRITABLE: WRITE}[made.base]
    for mount in made.mounts:
        if path == mount.path or path.startswith(mount.path + b"/"):
            if mount.kind in (Kind.HIDE_FOLDER, Kind.HIDE_FILE):
                access = DENY
            elif mount.kind is Kind.READ:
                access = READ
            elif mount.kind in (Kind.WRITE, Kind.PIN):
                access = WRITE
    return access


@settings(deadline=None)
@given(
    rules=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(Access), max_size=6),
    outer=st.sampled_from([None, READ]),
)
def test_every_path_gets_what_the_most_specific_rule_says(
    tmp_path_factory: pytest.TempPathFactory, rules: dict[str, Access], outer: Access | None
) -> None:
    base = Path(os.path.realpath(tmp_path_factory.mktemp("tree")))
    for place in PLACES:
        (base / place).mkdir(parents=True, exist_ok=True)
    given_rules: dict[object, Access] = {base / place: access for place, access in rules.items()}
    made = plan({**({} if outer is None else {"/": outer}), **given_rules})
    for place in PLACES:
        wanted = expected(rules, place, outer)
        got = effective(made, os.fsencode(base / place))
        assert (got or DENY) is (wanted or DENY), place


@pytest.mark.parametrize(
    ("pattern", "pinned"),
    [("ws/**/*.env", False), ("ws/sub/*.env", True), ("ws/s*/*.env", True), ("**/*.env", False)],
)
def test_a_folder_that_a_pattern_names_cannot_be_renamed(
    site: Path, pattern: str, pinned: bool
) -> None:
    (site / "ws/sub/a.env").write_text("")
    found = kinds(plan({"/": READ, site / "ws": WRITE}, [f"{site}/{pattern}"]), site)
    assert found["ws/sub/a.env"] is Kind.HIDE_FILE
    assert ("ws/sub" in found) is pinned


def test_files_cannot_be_moved_out_of_a_pattern_s_sight(site: Path) -> None:
    (site / "ws/sub/deep/a.env").write_text("")
    found = kinds(plan({"/": READ, site / "ws": WRITE}, [f"{site}/ws/sub/**/*.env"]), site)
    assert found["ws/sub"] is Kind.PIN
    assert "ws/sub/deep" not in found


def test_a_plan_that_is_known_is_looked_at_again_each_time(site: Path) -> None:
    (site / "alias").symlink_to("ws")
    rules: dict[object, Access] = {"/": READ, site / "alias": WRITE}
    first = plan(rules)
    assert plan(rules) is first
    for change, undo in (
        ((site / "ws/.git").mkdir, (site / "ws/.git").rmdir),
        (lambda: (site / "ws/.git").write_text(""), (site / "ws/.git").unlink),
    ):
        change()
        assert plan(rules) != first
        undo()
        assert plan(rules) == first
    (site / "alias").unlink()
    (site / "alias").symlink_to("ws")
    assert plan(rules) == first
    (site / "alias").unlink()
    (site / "alias").symlink_to("./ws")
    (site / "ws/.codex").mkdir(mode=0o1555)
    assert plan(rules) == first
