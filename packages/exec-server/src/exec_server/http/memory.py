"""Bytes of bodies that a server holds for its clients, all requests together."""

from __future__ import annotations

from .failures import RequestFailedError

__all__ = ["BodyMemory", "Held"]


class BodyMemory:
    """Budget for bytes of bodies.

    Args:
        capacity: In bytes.

    Attributes:
        used: How much is held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.used = 0

    def take(self, size: int) -> None:
        """Count bytes as held.

        Raises:
            RequestFailedError: There would be too many; nothing was counted.
        """
        if self.used + size > self._capacity:
            raise RequestFailedError("limit", "the executor holds as many bodies as it may")
        self.used += size

    def give_back(self, size: int) -> None:
        """Count them as free again."""
        self.used -= size


class Held:
    """Share of one request in the budget."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = 0

    def take(self, size: int) -> None:
        """Hold more.

        Raises:
            RequestFailedError: There is no room.
        """
        self._memory.take(size)
        self._size += size

    def release(self) -> None:
        """Hold nothing any more. Repeating it does nothing."""
        self._memory.give_back(self._size)
        self._size = 0
