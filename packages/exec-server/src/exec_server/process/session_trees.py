"""The trees of one session: their marks, and their common end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..launching.tree_end import TreeEnd
from ..runtime.marks import PROCESS_BITS, SessionMarks
from ..runtime.trees import Leader, Tree

__all__ = ["SessionTrees"]


class SessionTrees:
    """All that the processes of a session have started.

    Args:
        ending: Ends trees, for all sessions.

    Attributes:
        ending: The same.
    """

    def __init__(self, ending: TreeEnd) -> None:
        self.ending = ending
        self._marks = SessionMarks()

    def next_mark(self) -> int:
        """Return the mark of one more process."""
        return self._marks.next()

    def end(self, leaders: Sequence[Callable[[], Leader | None]]) -> None:
        """Kill all that any process of the session has started, however long ago.

        Args:
            leaders: Return what is known of the children that are remembered; called in a thread.
        """
        if not self._marks.used:
            self._marks.close()
            return
        common = self._marks.common

        def tree() -> Tree:
            known = (leader() for leader in leaders)
            return Tree(common, PROCESS_BITS, tuple(leader for leader in known if leader))

        self.ending.end(tree).add_done_callback(lambda _: self._marks.close())
