"""The order in which what is finished gives way when a table is full. Pure.

A table keeps what is finished for a while: somebody may still come for it. That must not keep
others out. What is known to have arrived goes first, since nobody has to come for it; then
whatever else is finished. In both lines the oldest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

__all__ = ["LOOKS_AT_MOST", "GivingWay"]

T = TypeVar("T", bound=Hashable)

LOOKS_AT_MOST: Final = 16
"""Entries of one line that are looked at for one newcomer. Looking asks the kernel, and who
is passed over goes to the end of the line: the next newcomer meets others."""


class GivingWay(Generic[T]):
    """Entries of a table that can give way to a new one.

    All steps take the same time, however many there are.
    """

    __slots__ = ("_arrived", "_finished")

    def __init__(self) -> None:
        self._arrived: OrderedDict[T, None] = OrderedDict()
        self._finished: OrderedDict[T, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrived) + len(self._finished)

    @property
    def all_arrived(self) -> bool:
        """Whether every finished entry is known to have arrived at its client."""
        return not self._finished

    def add(self, entry: T, *, arrived: bool) -> None:
        """An entry has finished.

        Args:
            entry: Not in line yet.
            arrived: Whether all of it is known to have arrived.
        """
        (self._arrived if arrived else self._finished)[entry] = None

    def arrived(self, entry: T) -> None:
        """All of an entry has arrived; one that is not in line is none of our business."""
        if entry in self._finished:
            del self._finished[entry]
            self._arrived[entry] = None

    def discard(self, entry: T) -> None:
        """An entry has left the table, or lives again."""
        self._arrived.pop(entry, None)
        self._finished.pop(entry, None)

    def pick(self, may_go: Callable[[T], bool]) -> T | None:
        """Return whose turn it is, or ``None``. The caller takes it out of the table.

        Args:
            may_go: Asked about each candidate; at most ``LOOKS_AT_MOST`` of each line.
        """
        for line in (self._arrived, self._finished):
            for _ in range(min(len(line), LOOKS_AT_MOST)):
                entry = next(iter(line))
                if may_go(entry):
                    return entry
                line.move_to_end(entry)
        return None
