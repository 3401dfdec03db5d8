"""Who belongs to a tree: never a stranger, and always who has its mark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from exec_server.runtime.marks import SessionMarks, mark_of, set_mark
from exec_server.runtime.processes import Seen, read_process, read_processes, send_signal
from exec_server.runtime.trees import Leader, Tree, members
from hypothesis import example, given, settings
from hypothesis import strategies as st

SERVER = 2
ABOVE = 3
PIDS = range(4, 14)
"""So few that numbers are used again all the time."""


@dataclass
class _Process:
    pid: int
    parent: int
    session: int
    started: int
    tree: int
    mark: int
    ended: bool = False


@dataclass
class _Machine:
    """Processes that fork, begin sessions and end, and what the server knows of its children.

    A number is free when nobody has it as its own or as its session's, as in the kernel.
    """

    now: int = 0
    live: dict[int, _Process] = field(default_factory=dict)
    leaders: dict[int, Leader] = field(default_factory=dict)
    trees: int = 0

    def _free(self) -> int | None:
        taken = {p.pid for p in self.live.values()} | {p.session for p in self.live.values()}
        return next((pid for pid in PIDS if pid not in taken), None)

    def step(self, what: str, which: int, *, marked: bool) -> None:
        self.now += 1
        known = list(self.live.values())
        process = known[which % len(known)] if known else None
        if what == "start":
            self._start(marked=marked)
        elif what == "stranger":
            if (pid := self._free()) is not None:
                self.live[pid] = _Process(pid, 1, pid, self.now, 0, 0)
        elif process is None or process.ended:
            return
        elif what == "fork":
            if (pid := self._free()) is not None:
                mark = process.mark if marked else 0
                session, tree = process.session, process.tree
                self.live[pid] = _Process(pid, process.pid, session, self.now, tree, mark)
        elif what == "session":
            if not any(p.session == process.pid for p in known):
                process.session = process.pid
        else:
            self._end(process)

    def _start(self, *, marked: bool) -> None:
        if (pid := self._free()) is None:
            return
        self.trees += 1
        tree = self.trees
        self.live[pid] = _Process(pid, SERVER, pid, self.now, tree, tree if marked else 0)
        self.leaders[tree] = Leader(pid)

    def _end(self, process: _Process) -> None:
        del self.live[process.pid]
        for child in self.live.values():
            if child.parent == process.pid:
                child.parent = ABOVE
        for tree, leader in self.leaders.items():
            if leader.pid == process.pid and leader.reaped is None:
                self.leaders[tree] = Leader(leader.pid, self.now)

    def look(self) -> list[Seen]:
        around = [Seen(SERVER, ABOVE, ABOVE, ABOVE, 0), Seen(ABOVE, 1, ABOVE, ABOVE, 0)]
        return around + [
            Seen(p.pid, p.parent, p.session, p.session, p.started, mark=p.mark)
            for p in self.live.values()
        ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stranger", "fork", "fork", "session", "end"]),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=400)
@example([("start", 0, False), ("fork", 0, False), ("end", 0, False), ("end", 0, False)] * 3)
@given(STEPS)
def test_no_stranger_is_ever_a_member_and_who_has_a_mark_always_is(
    steps: list[tuple[str, int, bool]],
) -> None:
    machine = _Machine()
    for what, which, marked in steps:
        machine.step(what, which, marked=marked)
        seen = machine.look()
        for tree, leader in machine.leaders.items():
            known = Tree(tree, leaders=(leader,))
            found = {p.pid for p in members(seen, known, SERVER, {SERVER, ABOVE})}
            truth = {p.pid for p in machine.live.values() if p.tree == tree}
            assert found <= truth
            assert {p.pid for p in machine.live.values() if p.mark == tree} <= found


@settings(max_examples=400)
@given(STEPS)
def test_without_marks_all_are_found_as_long_as_the_leader_is_there(
    steps: list[tuple[str, int, bool]],
) -> None:
    machine = _Machine()
    for what, which, _ in steps:
        # Who was orphaned in a session of its own is what marks are for.
        machine.step("fork" if what in ("session", "end") else what, which, marked=False)
    for tree, leader in machine.leaders.items():
        found = {
            p.pid for p in members(machine.look(), Tree(0, leaders=(leader,)), SERVER, {SERVER})
        }
        assert found == {p.pid for p in machine.live.values() if p.tree == tree}


def test_a_session_without_its_leader_is_known_by_a_member_that_is_older_than_its_end() -> None:
    tree = Tree(0, leaders=(Leader(10, reaped=100),))
    old, young = Seen(11, ABOVE, 10, 10, 99), Seen(12, ABOVE, 10, 10, 150)
    assert {p.pid for p in members([old, young], tree, SERVER, {SERVER})} == {11, 12}
    assert members([young], tree, SERVER, {SERVER}) == []


def test_nobody_is_the_child_of_a_parent_that_is_younger() -> None:
    member = Seen(20, ABOVE, 20, 20, 50, mark=7)
    before, child = Seen(21, 20, 21, 21, 49), Seen(22, 20, 22, 22, 50)
    assert members([member, before, child], Tree(7), SERVER, {SERVER}) == [member, child]


def test_a_helper_of_the_server_with_a_mark_is_no_member() -> None:
    helper = Seen(20, SERVER, 20, 20, 5, mark=7)
    orphan = Seen(21, ABOVE, 21, 21, 5, mark=7)
    assert members([helper, orphan], Tree(7), SERVER, {SERVER}) == [orphan]


def test_all_marks_of_a_session_have_its_part_in_common_and_no_other_session_has() -> None:
    one, other = SessionMarks(), SessionMarks()
    common = Tree(one.common, 18)
    assert all(common.has(one.next()) for _ in range(3))
    assert not common.has(other.next())
    assert not common.has(0)
    assert one.next() < 1 << 62
    one.close()
    other.close()


def test_a_mark_passes_a_fork_a_program_and_a_clean_environment() -> None:
    number = SessionMarks().next()
    script = (
        "import sys; sys.stdin.read(1); import subprocess; subprocess.run(sys.argv[1:], env={})"
    )
    inner = [sys.executable, "-c", "import resource; print(resource.getrlimit(10)[0], flush=True)"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        set_mark(child.pid, number)
        if mark_of(child.pid) == 0:
            pytest.skip("limits of others cannot be set here")
        assert mark_of(child.pid) == number
        said, _ = child.communicate(b"-", timeout=20)
    assert int(said) == number
    assert mark_of(child.pid) == 0


def test_a_signal_reaches_who_was_seen_and_nobody_who_has_the_number_now() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        seen = read_process(child.pid)
        assert seen is not None
        assert seen.parent == os.getpid()
        assert any(p.pid == child.pid and p.started == seen.started for p in read_processes())
        another = Seen(seen.pid, seen.parent, seen.group, seen.session, seen.started - 1)
        assert not send_signal(another, signal.SIGKILL)
        assert child.poll() is None
        assert send_signal(seen, signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
    assert not send_signal(seen, signal.SIGKILL)
    assert read_process(child.pid) is None
