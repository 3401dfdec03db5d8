"""A child's stdin: a bounded queue in front of a descriptor that may be full.

A write is *accepted* when it is queued. When the queue is full, further writes are parked,
each with a future, and accepted in their order as room appears: a child that does not read
holds up its own writers and nobody else.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from typing import Final

from exec_server_protocol.limits import WRITE_IDS_REMEMBERED

__all__ = ["ACCEPTED", "CLOSED", "StdinQueue"]

ACCEPTED: Final = "accepted"
CLOSED: Final = "stdinClosed"

_END_OF_INPUT: Final = b"\x04"
"""What a terminal in its default mode takes for the end of input."""


class StdinQueue:
    """Bytes on their way to a child.

    Args:
        descriptor: Non-blocking; owned from now on.
        is_terminal: The end of input is then a control character, and the descriptor stays
            open, since it is the terminal itself.
        max_messages: Writes queued before further ones are parked.
        max_bytes: The same in bytes; one larger write is accepted when nothing else waits.
    """

    def __init__(
        self, descriptor: int, *, is_terminal: bool, max_messages: int, max_bytes: int
    ) -> None:
        self._descriptor: int | None = descriptor
        self._is_terminal = is_terminal
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._parked: deque[tuple[str, bytes, asyncio.Future[str]]] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._writing = False
        self._ending = False
        self._end_sent = False

    @property
    def parked(self) -> int:
        """Writes that wait for room."""
        return len(self._parked)

    def write(self, write_id: str, data: bytes) -> str | asyncio.Future[str]:
        """Queue ``data`` unless ``write_id`` was accepted before.

        Returns:
            The status, or a future of it while the queue is full. Cancelling the future
            takes the write back.
        """
        if write_id in self._seen:
            return ACCEPTED
        if self._ending:
            return CLOSED
        if self._parked or not self._has_room(len(data)):
            future: asyncio.Future[str] = self._loop.create_future()
            self._parked.append((write_id, data, future))
            return future
        self._accept(write_id, data)
        return ACCEPTED

    def end(self) -> str:
        """Give the child the end of its input after everything that was accepted or parked."""
        self._ending = True
        self._flush()
        return ACCEPTED

    def break_(self) -> None:
        """Drop what is queued: nobody reads it any more. Later writes are accepted and lost.

        That is what a pipe would do with them, and a client cannot know the moment.
        """
        if self._descriptor is not None:
            if self._writing:
                self._loop.remove_writer(self._descriptor)
                self._writing = False
            os.close(self._descriptor)
            self._descriptor = None
        self._queue.clear()
        self._queued_bytes = 0
        self._admit_parked()

    def _has_room(self, size: int) -> bool:
        if self._descriptor is None or not self._queue:
            return True
        return (
            len(self._queue) < self._max_messages and self._queued_bytes + size <= self._max_bytes
        )

    def _accept(self, write_id: str, data: bytes) -> None:
        self._seen[write_id] = None
        if len(self._seen) > WRITE_IDS_REMEMBERED:
            self._seen.popitem(last=False)
        if data and self._descriptor is not None:
            self._queue.append(memoryview(data))
            self._queued_bytes += len(data)
            if not self._writing:
                self._flush()

    def _admit_parked(self) -> None:
        while self._parked and self._has_room(len(self._parked[0][1])):
            write_id, data, future = self._parked.popleft()
            if not future.done():
                if write_id not in self._seen:
                    self._accept(write_id, data)
                future.set_result(ACCEPTED)

    def _flush(self) -> None:
        while self._queue and self._descriptor is not None:
            try:
                count = os.write(self._descriptor, self._queue[0])
            except BlockingIOError:
                break
            except OSError:  # EPIPE, or EIO of a terminal that nobody has open
                self.break_()
                return
            self._queued_bytes -= count
            if count == len(self._queue[0]):
                self._queue.popleft()
                if self._parked:
                    self._admit_parked()
            else:
                self._queue[0] = self._queue[0][count:]
        self._watch()
        if self._ending and not self._queue and not self._parked:
            self._finish()

    def _watch(self) -> None:
        if self._descriptor is None:
            return
        if self._queue and not self._writing:
            self._writing = True
            self._loop.add_writer(self._descriptor, self._flush)
        elif not self._queue and self._writing:
            self._writing = False
            self._loop.remove_writer(self._descriptor)

    def _finish(self) -> None:
        if self._descriptor is None:
            return
        if not self._is_terminal:
            os.close(self._descriptor)
            self._descriptor = None
        elif not self._end_sent:
            self._end_sent = True
            self._queue.append(memoryview(_END_OF_INPUT))
            self._queued_bytes += len(_END_OF_INPUT)
            self._flush()
