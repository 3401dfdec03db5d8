"""One file request: what is asked of a worker, and how the answer gets to the client.

A result is passed on in the pieces that it came in. A long one goes out while it is read, so
that it takes no memory here; should it break off, what has been sent is disowned and an error
is sent instead.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from exec_server_protocol.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    NOT_FOUND,
    InternalError,
    MessageTooLargeError,
    RpcError,
)
from exec_server_protocol.helper import HelperError
from exec_server_protocol.limits import READ_FILE_MAX_BYTES

from ..runtime.payload import Payload
from ..telemetry.instruments import OFF_WORK, ObservedWork
from ..workers.held_files import HeldFile
from ..workers.result_text import ResultCheck, check_of
from ..workers.worker import Worker

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Answer", "FileRequest", "Lane"]

_WHOLE_BYTES: Final = 4 * 1024 * 1024
"""Longer results go out in pieces. Nothing else on the connection can overtake such a
result, so one that is cheap to hold is collected first."""
_UNSTREAMED_MAX_BYTES: Final = 16 * 1024 * 1024
"""Of a result that cannot go out in pieces: a walk has 4 MiB, and the longest spelling of it
is some times that."""
_STREAMED_MAX_BYTES: Final = READ_FILE_MAX_BYTES // 3 * 4 + 1024
"""Of one that can: the largest file. The names of a million-file folder take a tenth."""
_MESSAGE_MAX_CHARACTERS: Final = 4096
_CODES: Final = frozenset({INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, NOT_FOUND})
"""What a worker may answer with; other codes mean something that is not its business."""


class Answer(Protocol):
    """The way back to the client."""

    @property
    def blocked(self) -> bool:
        """Whether the peer should take something before more pieces are sent."""

    def result(self, text: bytes | list[bytes]) -> None:
        """Answer with the JSON text of a result, whole or in parts."""

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""

    def piece(self, text: bytes, *, last: bool) -> None:
        """Answer with the next piece of a long result."""

    def disown(self, closing: bytes, error: BaseException) -> None:
        """Answer with an error after pieces of a result, which ``closing`` completes."""

    def when_unblocked(self, callback: Callable[[], None]) -> None:
        """Call back once when ``blocked`` has become false, or when the peer is gone."""


class Lane(Protocol):
    """Keeps the requests of a connection in order."""

    def settled(self, request: FileRequest, error: BaseException | None) -> None:
        """A request has ended; its answer goes out next."""

    def proceed(self) -> None:
        """The answer is out: go on."""

    def unstarted(self, request: FileRequest) -> None:
        """Its worker ended before it began with this request."""


class FileRequest:
    """A request to a worker; see ``call.Call``.

    Args:
        op: Method name.
        members: Those of the JSON object for the worker, in ASCII, without a handle.
        sandbox: Confinement that the client asks for.
        bulk: Base64 text that travels apart from the params.
        handle_id: The open file that it is about, as the client calls it.
        writes: It opens a file for writing.
        own_result: What to answer, whatever the worker's result is.
        offset: Where to read, for a block.
        limit_bytes: Of a result of bytes.

    Attributes:
        worker: Who carries it out.
        needs_sandbox: See ``call.Call``.
        take_file: See ``call.Call``.
        observed: Told of its life.
    """

    # What most requests never change is set in the class, not in each of them.
    worker: Worker | None = None
    take_file: Callable[[int], None] | None = None
    observed: ObservedWork = OFF_WORK
    _lane: Lane | None = None
    _answer: Answer | None = None
    _check: ResultCheck | None = None
    _held: list[bytes] | None = None
    _size = 0
    _streaming = False

    def __init__(
        self,
        op: str,
        members: bytes,
        sandbox: SandboxContext | None = None,
        *,
        bulk: Payload | None = None,
        handle_id: str | None = None,
        writes: bool = False,
        own_result: bytes | None = None,
        offset: int = 0,
        limit_bytes: int = READ_FILE_MAX_BYTES,
    ) -> None:
        self.op = op
        self.sandbox = sandbox
        self.handle_id = handle_id
        self.writes = writes
        self.needs_sandbox = sandbox is not None
        self._members = members
        self._bulk = bulk
        self._own_result = own_result
        self._offset = offset
        self._limit_bytes = limit_bytes

    def __repr__(self) -> str:
        return f"<FileRequest {self.op}>"

    def prepare(self, lane: Lane, answer: Answer) -> None:
        """Say who waits for it."""
        self._lane = lane
        self._answer = answer

    def must_wait(self, callback: Callable[[], None]) -> bool:
        """Whether the client should take something before this is begun; then calls back."""
        if self._answer is None or not self._answer.blocked:
            return False
        self._answer.when_unblocked(callback)
        return True

    def read_from(self, file: HeldFile) -> bool:
        """Answer with a block of a file that is held here. Returns whether that was possible."""
        if self._answer is None or self._answer.blocked:
            return False
        parts = file.read(self._offset, self._limit_bytes)
        if parts is None:
            return False
        self.observed.begun("filesystem")
        self.observed.set("reused", True)
        *self._held, last = parts
        self.result(last)
        return True

    def run(self, worker: Worker, handle: int | None) -> None:
        """Send it to a worker. Whatever goes wrong with it is its answer.

        Args:
            worker: Who carries it out.
            handle: What the worker calls the open file.
        """
        self.worker = worker
        self.observed.begun("filesystem")
        self._check = check_of(self.op, self._limit_bytes)
        params = b"{%b}" % self._members
        if handle is not None:
            comma = b"," if self._members else b""
            params = b'{"handleId":"%d"%b%b}' % (handle, comma, self._members)
        try:
            worker.call(self, self.op, params, self._bulk)
        except MessageTooLargeError:
            # What the system says of a path that is far shorter.
            number = errno.ENAMETOOLONG
            self.fail(InternalError("File name too long (os error 36)", data={"errno": number}))

    def drop_answer(self) -> None:
        """Nobody waits for it any more."""
        self._answer = None
        self.take_file = None
        if self.worker is None:
            self.observed.ended(failed=True)
        self._held = None
        if self.worker is not None:
            self.worker.resume()

    # ------------------------------------------------------------------ the worker calls

    def check(self, text: bytes, *, last: bool) -> None:
        """Refuse what no sound worker would say; see ``call.Call``."""
        assert self._check is not None  # noqa: S101 - set before it is sent
        self._check.piece(text, last=last)
        self._size += len(text)
        limit = _STREAMED_MAX_BYTES if self._check.closing else _UNSTREAMED_MAX_BYTES
        if self._size > limit:
            raise MessageTooLargeError("the result of a file request")

    def encode(self, data: bytes, *, last: bool) -> bytes:
        """Return the text for bytes; see ``call.Call``."""
        assert self._check is not None  # noqa: S101 - as above
        text = self._check.encode(data, last=last)
        self._size += len(text)
        return text

    def part(self, text: bytes) -> None:
        """Keep a piece, or pass it on."""
        answer, worker = self._answer, self.worker
        if answer is None or worker is None or self._check is None:
            return
        pieces = [text]
        if not self._streaming:
            pieces = self._held = self._held or []
            pieces.append(text)
            if self._size <= _WHOLE_BYTES or not self._check.closing:
                return
            self._held = None
            self._streaming = worker.streaming = True
        for piece in pieces:
            answer.piece(piece, last=False)
        if answer.blocked:
            worker.pause()
            answer.when_unblocked(worker.resume)

    def result(self, text: bytes) -> None:
        """Answer."""
        self._settle(None)
        answer = self._answer
        if answer is not None:
            if self._own_result is not None:
                answer.result(self._own_result)
            elif self._streaming:
                answer.piece(text, last=True)
            elif self._held:
                answer.result([*self._held, text])
            else:
                answer.result(text)
        self._proceed()

    def error(self, error: HelperError) -> None:
        """Answer with what the worker says."""
        code = error.code if error.code in _CODES else INTERNAL_ERROR
        message = error.message[:_MESSAGE_MAX_CHARACTERS].encode("utf-8", "replace").decode()
        data = None if error.number is None else {"errno": error.number}
        self.fail(RpcError.from_code(code, message, data))

    def lost(self, reason: str, *, begun: bool) -> None:
        """The worker is gone."""
        if begun or self._lane is None:
            self.fail(InternalError(reason))
        else:
            self.worker = None
            self._lane.unstarted(self)

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self._settle(error)
        answer = self._answer
        if answer is not None:
            if self._streaming and self._check is not None:
                answer.disown(self._check.closing, error)
            else:
                answer.fail(error)
        self._proceed()

    def _settle(self, error: BaseException | None) -> None:
        if self.worker is not None:
            self.worker.streaming = False
        self.observed.ended(failed=error is not None)
        if self._lane is not None:
            self._lane.settled(self, error)

    def _proceed(self) -> None:
        if self._lane is not None:
            self._lane.proceed()
