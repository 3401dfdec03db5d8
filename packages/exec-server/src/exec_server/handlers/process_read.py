"""``process/read``: retained output after a cursor, with a long poll."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import pybase64
from exec_server_protocol.errors import InvalidRequestError

from ..output.retained import Chunk
from ..process.process import Process
from ..process.states import ProcessState
from ..runtime.direct_future import AnswerWithHook, Slices
from ..runtime.futures import hand_on, then

if TYPE_CHECKING:
    from exec_server_protocol.process import ProcessReadParams

    from ..rpc.connection import Answer, Connection

__all__ = ["answer_with", "read"]

_SLICE_BYTES: Final = 512 * 1024
"""Of output that is encoded at once: a millisecond or two."""
_SLICE_CHUNKS: Final = 1000
"""The same for output that was written byte by byte."""

_LONGEST_WAIT_SECONDS = 365 * 24 * 3600.0
"""Clients may ask for 2**64 ms, which the event loop's clock cannot add."""


def read(connection: Connection, params: ProcessReadParams) -> Answer | asyncio.Future[Answer]:
    """Return what there is after the cursor, or wait for the next event.

    It waits only while there is nothing to return, the process is not closed, and the
    reader has not missed the exit.

    Raises:
        InvalidRequestError: The session has no such process.
    """
    process = connection.attached_session.processes.get(params.process_id)
    if process is None:
        raise InvalidRequestError(f"unknown process id {params.process_id}")
    wait = (params.wait_ms or 0) / 1000
    if not process.is_starting and (wait == 0 or _has_news(process, params.after_seq or 0)):
        return _answer(process, params)
    return _LongPoll(connection, process, params, min(wait, _LONGEST_WAIT_SECONDS)).future


def _has_news(process: Process, after_seq: int) -> bool:
    if process.state is ProcessState.CLOSED:
        return True
    if process.state is ProcessState.EXITED and after_seq < process.next_seq - 1:
        return True
    return process.kept.has_after(after_seq)


def _answer(process: Process, params: ProcessReadParams) -> Answer | asyncio.Future[Answer]:
    """Return the answer as of now, or a future of it while output comes from disk."""
    process.confirm_arrived()
    if not process.is_behind:  # or else ``process/catchUp`` says what the client has
        process.kept.claim(params.after_seq or 0)
    chunks = process.kept.read(params.after_seq or 0, params.max_bytes)
    closed = process.state is ProcessState.CLOSED
    exited = closed or process.state is ProcessState.EXITED
    state = b'"exited":%b,"exitCode":%b,"closed":%b,"failure":null,"sandboxDenied":%b' % (
        b"true" if exited else b"false",
        b"null" if process.exit_code is None else b"%d" % process.exit_code,
        b"true" if closed else b"false",
        b"true" if process.sandbox_denied else b"false",
    )
    next_seq = process.next_seq
    exit_seq = process.exit_seq
    details = process.details.of_state()
    until_now = process.written.before(None)

    def encode(chunks: list[Chunk]) -> Answer:
        bounded = params.max_bytes is not None and chunks
        after = chunks[-1].seq + 1 if bounded else next_seq
        more = details
        if params.stream_offsets:
            before = process.written.before(chunks[0]) if chunks else until_now
            more += b',"streamOffsets":%b' % json.dumps(before).encode()
            if exit_seq is not None:
                more += b',"exitSeq":%d' % exit_seq
        tail = b'"nextSeq":%d,%b%b}' % (after, state, more)
        seq = chunks[-1].seq if chunks else None
        through = seq if bounded and seq is not None else next_seq - 1
        if process.is_behind:
            return answer_with(chunks, tail, _nothing)
        if closed and not process.kept.has_after(through):
            through = next_seq - 1
        return answer_with(chunks, tail, partial(process.answered, seq, through))

    return then(chunks, encode) if isinstance(chunks, asyncio.Future) else encode(chunks)


def _nothing() -> None:
    pass


def answer_with(chunks: list[Chunk], tail: bytes, sent: Callable[[], None]) -> AnswerWithHook:
    """Return an answer that begins with chunks; a long one is encoded while it is sent.

    Args:
        chunks: All of them.
        tail: What follows their list, to the end of the JSON.
        sent: Called behind it; see ``AnswerWithHook``.
    """
    size = sum(len(chunk.data) for chunk in chunks)
    if size <= _SLICE_BYTES and len(chunks) <= _SLICE_CHUNKS:
        return AnswerWithHook(b'{"chunks":[%b],%b' % (_encode_chunks(chunks), tail), sent)
    return AnswerWithHook(Slices(_parts(chunks, tail), size), sent)


def _parts(chunks: list[Chunk], tail: bytes) -> Iterator[bytes]:
    yield b'{"chunks":['
    rest = iter(chunks)
    comma = b""
    while some := _next_slice(rest):
        yield comma + _encode_chunks(some)
        comma = b","
    yield b"]," + tail


def _next_slice(rest: Iterator[Chunk]) -> list[Chunk]:
    taken: list[Chunk] = []
    size = 0
    for chunk in islice(rest, _SLICE_CHUNKS):
        taken.append(chunk)
        size += len(chunk.data)
        if size >= _SLICE_BYTES:
            break
    return taken


def _encode_chunks(chunks: list[Chunk]) -> bytes:
    return b",".join(
        b'{"seq":%d,"stream":"%b","chunk":"%b"}'
        % (chunk.seq, chunk.stream, pybase64.b64encode(chunk.data))
        for chunk in chunks
    )


class _LongPoll:
    """One read that waits. Ends with news, with its time, or with its connection."""

    def __init__(
        self, connection: Connection, process: Process, params: ProcessReadParams, wait: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self._connection = connection
        self._process = process
        self._params = params
        self._after_seq = params.after_seq or 0
        self._deadline = loop.time() + wait
        self._timer: asyncio.TimerHandle | None = None
        self._answering = False
        self.future: asyncio.Future[Answer] = loop.create_future()
        self.future.add_done_callback(self._done)
        process.watch(self._look)
        connection.long_polls.add(self)
        if process.is_starting:
            process.defer(self._started)
        else:
            self._timer = loop.call_at(self._deadline, self._look)

    def _started(self) -> None:
        if not self.future.done():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._deadline, self._look)
            self._look()

    def _look(self) -> None:
        if self.future.done() or self._answering or self._process.is_starting:
            return
        overdue = asyncio.get_running_loop().time() >= self._deadline
        if overdue or _has_news(self._process, self._after_seq):
            self.answer()

    def answer(self) -> None:
        """Answer with what there is, as soon as the peer takes it."""
        if self.future.done() or self._answering:
            return
        if not self._connection.peer.answering:
            self._connection.peer.when_answering(self.answer)
        elif self._connection.attached_session.processes.get(self._process.id) is not self._process:
            text = f"unknown process id {self._process.id}"
            self.future.set_exception(InvalidRequestError(text))
        else:
            self._answering = True
            answer = _answer(self._process, self._params)
            if isinstance(answer, asyncio.Future):
                hand_on(answer, self.future)
            else:
                self.future.set_result(answer)

    def _done(self, future: asyncio.Future[Answer]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._process.unwatch(self._look)
        self._connection.long_polls.discard(self)
