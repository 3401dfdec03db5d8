"""Plans that are known without a look at the disk."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exec_server.sandbox import watched_plans
from exec_server.sandbox.lookup import Lookup
from exec_server.sandbox.plan import Plan, make_plan
from exec_server.sandbox.rules import Access, Confinement, Rules
from exec_server.sandbox.watched_plans import WatchedPlans
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.liveness import inotify_watches

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are no sandboxes")

SECONDS = 3600.0
"""Instead of two: as long as a test may take."""

Make = Callable[[Callable[[Lookup], None]], Plan]


@pytest.fixture
def plans() -> Iterator[WatchedPlans]:
    made = WatchedPlans()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _as_long_as_a_test_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exec_server.sandbox.watched_plans.RECENT_SECONDS", SECONDS)


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    folder = Path(os.path.realpath(tmp_path)) / "ws"
    folder.mkdir()
    return folder


def maker(ws: Path) -> Make:
    rules = Rules(
        Confinement.FULL, "restricted", {b"/": Access.READ, os.fsencode(ws): Access.WRITE}
    )
    return lambda unchanged: make_plan(rules, unchanged=unchanged)


def context(ws: Path) -> SandboxContext:
    return SandboxContext.workspace_write([ws])


def test_a_plan_is_known_once_it_has_been_the_same_twice(plans: WatchedPlans, ws: Path) -> None:
    policy, make = context(ws), maker(ws)
    assert plans.known(policy) is None
    first = plans.look(policy, make)
    assert plans.known(policy) is None
    assert plans.look(policy, make) is first
    assert plans.known(policy) is first


def test_it_is_not_known_any_more_when_the_disk_has_changed(plans: WatchedPlans, ws: Path) -> None:
    policy, make = context(ws), maker(ws)
    before = [plans.look(policy, make) for _ in range(2)][1]
    (ws / ".git").mkdir()
    assert plans.known(policy) is None
    after = plans.look(policy, make)
    assert after != before
    assert plans.look(policy, make) is after
    assert plans.known(policy) is after


def test_it_is_known_for_the_very_object_alone(plans: WatchedPlans, ws: Path) -> None:
    policy, make = context(ws), maker(ws)
    for _ in range(2):
        plans.look(policy, make)
    assert plans.known(context(ws)) is None


def test_the_disk_is_looked_at_now_and_then_all_the_same(
    plans: WatchedPlans, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, make = context(ws), maker(ws)
    for _ in range(2):
        plans.look(policy, make)
    later = time.monotonic() + SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert plans.known(policy) is None
    plans.look(policy, make)
    assert plans.known(policy) is not None


def test_few_are_kept_and_the_others_are_not_watched_any_more(
    plans: WatchedPlans, ws: Path
) -> None:
    before = inotify_watches()
    policies: list[SandboxContext] = []
    for number in range(watched_plans._PLANS_MAX + 3):
        folder = ws / str(number)
        folder.mkdir()
        policies.append(context(folder))
        for _ in range(2):
            plans.look(policies[-1], maker(folder))
    known = [policy for policy in policies if plans.known(policy) is not None]
    assert known == policies[3:]
    watched = inotify_watches() - before
    assert 0 < watched <= watched_plans._PLANS_MAX + 10
    plans.close()
    assert inotify_watches() == before


def test_a_thread_that_is_stuck_keeps_nobody_from_making_plans(
    plans: WatchedPlans, ws: Path
) -> None:
    inside, go = threading.Event(), threading.Event()
    policy, make = context(ws), maker(ws)
    plans.look(policy, make)

    def stuck(unchanged: Callable[[Lookup], None]) -> Plan:
        class Stuck(Lookup):
            def is_unchanged(self) -> bool:
                inside.set()
                return not go.wait(20)

        unchanged(Stuck())
        return make(unchanged)

    thread = threading.Thread(target=plans.look, args=(policy, stuck))
    thread.start()
    try:
        assert inside.wait(20)
        assert plans.look(policy, make)
        assert plans.known(policy) is None
    finally:
        go.set()
        thread.join(20)
    plans.look(policy, make)
    assert plans.known(policy) is not None


def test_nothing_is_known_after_the_end(plans: WatchedPlans, ws: Path) -> None:
    policy, make = context(ws), maker(ws)
    for _ in range(2):
        plans.look(policy, make)
    plans.close()
    assert plans.known(policy) is None
    assert plans.look(policy, make)
    assert plans.known(policy) is None


def test_where_nobody_tells_of_changes_the_disk_is_looked_at(
    plans: WatchedPlans, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("exec_server.sandbox.disk_events.DiskEvents", refuse)
    policy, make = context(ws), maker(ws)
    for _ in range(3):
        assert plans.look(policy, make)
    assert plans.known(policy) is None
