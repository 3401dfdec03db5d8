"""Two ends of a connection in one process: messages without a network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

__all__ = ["MemorySocket"]


class MemorySocket:
    """The client's end of a connection; the other end is driven through the extra methods.

    Args:
        received: Called with each message that the client sends.
        dropped: Called once when the client drops the connection.
        not_sent: Raised when sending after the end.

    Attributes:
        reason: What the client is told when the connection ends.
        received: Bytes that the other end has sent.
        over: Whether it has ended, from either side.
    """

    def __init__(
        self,
        received: Callable[[bytes], None],
        dropped: Callable[[], None],
        not_sent: type[ConnectionError] = ConnectionError,
    ) -> None:
        self._received = received
        self._dropped = dropped
        self._not_sent = not_sent
        self._inbox: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.reason = ""
        self.received = 0
        self.over = False

    # ------------------------------------------------------------------ the client's end

    async def send(self, message: bytes) -> None:
        """Send a message to the other end."""
        if self.over:
            raise self._not_sent("the connection is over")
        self._received(message)

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield what the other end sent before it ended the connection."""
        while True:
            while self._inbox:
                yield self._inbox.popleft()
            if self.over:
                return
            self._news.clear()
            await self._news.wait()

    def abort(self) -> None:
        """Drop the connection."""
        was_over, self.over = self.over, True
        self._news.set()
        if not was_over:
            self._dropped()

    async def close(self) -> None:
        """End the connection."""
        self.abort()

    # ------------------------------------------------------------------ the other end

    def deliver(self, message: bytes) -> None:
        """Give the client a message; nothing arrives after the end."""
        if not self.over:
            self._inbox.append(message)
            self.received += len(message)
            self._news.set()

    def cut(self, lose: int = 0) -> None:
        """End the connection; the last ``lose`` messages that the client has not taken are lost."""
        for _ in range(min(lose, len(self._inbox))):
            self._inbox.pop()
        self.over = True
        self._news.set()
