"""State tables: the legal steps of one state machine. Light: no pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

__all__ = ["IllegalStepError", "StateTable"]

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class IllegalStepError(ValueError):
    """A step that is not in the table: a fault of the code that took it."""


class StateTable(dict[tuple[S, E], S]):
    """Legal steps of a machine: (state, event) to the state after it.

    Args:
        machine: Name of the machine, for the text of an error.
        steps: All of them.
    """

    __slots__ = ("_machine",)

    def __init__(self, machine: str, steps: Mapping[tuple[S, E], S]) -> None:
        super().__init__(steps)
        self._machine = machine

    def advance(self, state: S, event: E) -> S:
        """Return the state after ``event``.

        Raises:
            IllegalStepError: The step is not in the table.
        """
        after = self.get((state, event))
        if after is None:
            raise IllegalStepError(
                f"{event.value!r} cannot happen to {self._machine} that is {state.value}"
            )
        return after
