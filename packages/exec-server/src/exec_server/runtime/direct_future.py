"""An answer that comes later, without a detour over the event loop.

A future calls back in the next turn of the loop. Here the callback runs at once, in the
event that brought the answer: a file request is answered some 10 µs sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from exec_server_protocol.rpc import MALFORMED_ID, RequestId

__all__ = ["ALREADY_SENT", "AnswerWithHook", "DirectFuture", "Slices"]

ALREADY_SENT: Final = b""
"""The result of a request whose answer has been sent already."""


class Slices(NamedTuple):
    """Long JSON that is made while it is sent: the loop is given back between two slices.

    Attributes:
        parts: What it consists of; each is asked for when the one before has been sent.
        size: Bytes of all of them together, or less.
    """

    parts: Iterator[bytes]
    size: int


class AnswerWithHook:
    """A result that wants to know when it has been sent, which may be some turns of the loop later.

    Args:
        json: The result.
        sent: Called right behind it, before anything else is sent.
    """

    __slots__ = ("json", "sent")

    def __init__(self, json: bytes | Slices, sent: Callable[[], None]) -> None:
        self.json = json
        self.sent = sent


class DirectFuture:
    """Settled once, like a future; has one callback, which is called at once.

    Nothing is kept once the callback has been called: an error refers to the frames that it
    came through, those to what they hold, and somewhere there to what will be answered. Such
    a circle would keep all of it, a body of many megabytes included, until the collector runs.
    """

    __slots__ = ("_callback", "_cancelled", "_done", "_error", "_result", "request_id")

    def __init__(self) -> None:
        self._callback: Callable[[DirectFuture], None] | None = None
        self._done = False
        self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        self.request_id: RequestId = MALFORMED_ID
        """The request that it answers; set when its handler has returned."""

    def add_done_callback(self, callback: Callable[[DirectFuture], None]) -> None:
        """Call back when it is settled: now, if it is."""
        self._callback = callback
        if self._done:
            self._call_back()

    def _call_back(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            try:
                callback(self)
            finally:
                self._result = self._error = None

    def set_result(self, result: Any) -> None:
        """Settle it; does nothing when it is cancelled."""
        self._settle(result, None)

    def set_exception(self, error: BaseException) -> None:
        """Settle it; does nothing when it is cancelled."""
        self._settle(None, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self._done:
            return
        self._done = True
        self._result, self._error = result, error
        self._call_back()

    def cancel(self) -> None:
        """Cancel it. The callback is called, as that of a future is."""
        if self._done:
            return
        self._done = self._cancelled = True
        self._call_back()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def exception(self) -> BaseException | None:
        """Return why it failed; only within the callback."""
        return self._error

    def result(self) -> Any:
        """Return the result, if it is settled without an error; only within the callback."""
        return self._result
