"""Members of a tree of processes, found in one look at all that there are. Pure.

A tree is what one child has started, and what that has started, and so on. Members are known by
their mark, by a parent that is one, by the session that the child was started in, and by a session
that a member has begun. Each of these can be left behind; all of them together, only by a program
that means to.

A look is not of one moment: while it is taken, processes end and others get their numbers. So a
number counts only together with a time: nobody is the child of a parent that is younger, and who is
in a session of which the number may be another's by now was in it before, or shares it with one who
was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from .processes import Seen

__all__ = ["Leader", "Tree", "members"]

_FIRST: Final = 1


@dataclass(frozen=True, slots=True)
class Leader:
    """The child that a tree has begun with: it leads a session, and the server has to reap it.

    Attributes:
        pid: Of it.
        reaped: When its number became free, in clock ticks since the boot; ``None`` if it was
            still its own when the look was over.
    """

    pid: int
    reaped: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree as far as it is known, or all trees of a session.

    Attributes:
        mark: What the marks of its members have in common; 0 if they have none.
        shift: How many of their lower bits do not count.
        leaders: The children that it has begun with, as far as they are known.
    """

    mark: int
    shift: int = 0
    leaders: tuple[Leader, ...] = ()

    def has(self, mark: int) -> bool:
        """Return whether a mark is one of its members'."""
        return self.mark > 0 and mark >> self.shift == self.mark


def members(seen: Iterable[Seen], tree: Tree, own: int, spared: Collection[int]) -> list[Seen]:
    """Return the members of a tree, zombies as well.

    Args:
        seen: All processes of one look.
        tree: What is known of it.
        own: Pid of the server. A child of its own that no tree begins with is one of its helpers,
            and may have got a mark by accident.
        spared: Pids that are never members: the server, and what is above it.
    """
    table = {p.pid: p for p in seen if p.pid not in spared and p.pid != _FIRST}
    foreign = {p.session for p in seen if p.pid in spared} | {0}
    children: dict[int, list[Seen]] = {}
    sessions: dict[int, list[Seen]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
        sessions.setdefault(process.session, []).append(process)
    begins = {leader.pid for leader in tree.leaders}
    todo = [
        process
        for process in table.values()
        if tree.has(process.mark) and (process.parent != own or process.pid in begins)
    ]
    for leader in tree.leaders:
        session = sessions.get(leader.pid, [])
        # One who was in the session while the number was the leader's keeps it from being
        # another's.
        if any(leader.reaped is None or process.started < leader.reaped for process in session):
            todo += session
    found: dict[int, Seen] = {}
    while todo:
        process = todo.pop()
        if process.pid in found:
            continue
        found[process.pid] = process
        todo += (p for p in children.get(process.pid, ()) if p.started >= process.started)
        if process.session not in foreign:
            # A member is in the session that its tree begins with or in one that a member began.
            todo += sessions.pop(process.session, ())
    return [*found.values()]
