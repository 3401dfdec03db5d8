"""Status of an environment, in the one shape that clients and environments return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EnvironmentStatus", "status_from_answer"]


@dataclass(frozen=True, slots=True, eq=False)
class EnvironmentStatus:
    """Status of an environment. Equal to its ``state`` as a text, and printed as that.

    Attributes:
        state: ``ready`` after an answer of the executor that says so; ``pending`` before the
            first attempt to connect has ended, or when the executor says something else;
            ``disconnected`` otherwise.
        error: Why it is not ready, where that is known.
    """

    state: Literal["pending", "ready", "disconnected"]
    error: str | None = None

    def __str__(self) -> str:
        return self.state

    def __eq__(self, other: object) -> bool:
        if isinstance(other, EnvironmentStatus):
            return (self.state, self.error) == (other.state, other.error)
        return self.state == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.state)


def status_from_answer(result: object) -> EnvironmentStatus:
    """Return what the answer to ``environment/status`` says."""
    said = result.get("status") if isinstance(result, dict) else None
    if said == "ready":
        return EnvironmentStatus("ready")
    text = said[:100] if isinstance(said, str) else "nothing"
    return EnvironmentStatus("pending", f"the executor says {text!r}")
