"""One worker: frames out, frames in, on the event loop, and its end.

A worker may have been taken over by what it reads, so nothing that it sends is trusted:
frames have sizes, results a grammar, and everything a time. One that breaks the rules is
killed. It answers in the order of the requests, one at a time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from exec_server_protocol.errors import (
    INTERNAL_ERROR,
    MalformedMessageError,
    MessageTooLargeError,
)
from exec_server_protocol.helper import (
    DATA_BYTES,
    FRAME_VERSION,
    FROM_WORKER,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    PIECE_BYTES,
    REQUEST_ID_MAX,
    FrameDecoder,
    FrameKind,
    HelperError,
    decode_error,
    decode_ready,
    encode_frame,
    encode_request_data,
)

from ..launching.child_watch import ChildWatch
from ..runtime.payload import Payload
from ..runtime.scratch import scratch
from ..sandbox.plan import Plan
from .call import Call
from .held_files import receive_with_file
from .launch import LaunchedWorker
from .spin import Spin
from .states import WorkerEvent, WorkerState, advance

__all__ = ["Worker"]

_HEADER: Final = struct.Struct(">IBI")
_BULK_AT_ONCE_BYTES: Final = 32 * 1024
"""Sent in one piece with its request: the worker then wakes up once."""
_SENDS_AT_ONCE: Final = 4
"""Pieces of a large request that are written before others get their turn."""


class Worker:
    """A child that carries out file requests.

    Args:
        launched: The child.
        owner: Whose requests it may serve.
        plan: What it was launched with: it serves requests with an equal one.
        on_closed: Called once when it can no longer be asked.
        on_ended: Called once when the child has been reaped.

    Attributes:
        is_intact: Whether its sandbox still is as it was; what is not serves no more paths.
        is_current: Whether it sees what is mounted outside; what does not begins no more calls.
        leaves_marks: Something is put on the disk for its sandbox as long as it lives.
        pins: Open files in it.
        idle: Nobody has it; kept by the pool.
        since: Loop time of the last sign of life or of the last request.
        streaming: A long answer has been sent in part, and the rest is waited for.
        waiting_for_peer: It is not read, because a client does not take what was read.
    """

    def __init__(
        self,
        launched: LaunchedWorker,
        owner: object,
        plan: Plan,
        *,
        on_closed: Callable[[Worker], None],
        on_ended: Callable[[Worker], None],
    ) -> None:
        self.owner = owner
        self.plan = plan
        self.state = WorkerState.STARTING
        self.leaves_marks = bool(plan.marks)
        self.pins = 0
        self.idle = False
        self.streaming = False
        self.waiting_for_peer = False
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._socket = launched.socket
        self._fd = launched.socket.fileno()
        self._after_end = launched.on_ended
        self._on_closed = on_closed
        self._on_ended = on_ended
        self._buffer = scratch()
        self._decoder = FrameDecoder(FROM_WORKER)
        self._calls: deque[tuple[int, Call]] = deque()
        self._last_id = 0
        self.is_intact = launched.is_intact
        self.is_current = launched.is_current
        self._out: deque[Iterator[bytes] | bytes] = deque()
        self._unsent: memoryview | None = None
        self._writing = False
        self._attached: int | None = None
        self._spin = Spin(lambda: self.busy)
        self._watch = ChildWatch(launched.popen, self._reaped)
        self._loop.add_reader(self._fd, self._readable)

    @property
    def served(self) -> bool:
        """Whether it has been asked anything yet."""
        return self._last_id > 0

    def __repr__(self) -> str:
        return f"<Worker {self.state.value} pid={self._watch.pid} calls={len(self._calls)}>"

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._watch.pid

    @property
    def usable(self) -> bool:
        """Whether it can be asked."""
        return self.state is WorkerState.RUNNING or self.state is WorkerState.STARTING

    @property
    def ready(self) -> bool:
        """Whether it has said so."""
        return self.state is WorkerState.RUNNING

    @property
    def busy(self) -> bool:
        """Whether it owes an answer."""
        return bool(self._calls)

    # ------------------------------------------------------------------ requests

    def call(self, call: Call, op: str, params: bytes, bulk: Payload | None = None) -> None:
        """Send a request, behind those that were sent before.

        Args:
            call: Gets what becomes of it.
            op: Method name.
            params: JSON object in ASCII, without the bulk member.
            bulk: Base64 text of the bulk member of operations that have one.

        Raises:
            MessageTooLargeError: ``params`` do not fit into a frame. Nothing was sent.
        """
        payload = b'{"op":"%b","params":%b}' % (op.encode(), params)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MessageTooLargeError("the params of a file request")
        if not self.usable:
            call.lost("the file helper ended", begun=False)
            return
        self._last_id = request_id = self._last_id % REQUEST_ID_MAX + 1
        self._calls.append((request_id, call))
        self.since = self._loop.time()
        frame = _HEADER.pack(len(payload), FrameKind.REQUEST, request_id) + payload
        if bulk is not None and bulk.size <= _BULK_AT_ONCE_BYTES:
            frame += b"".join(_data_frames(request_id, bulk))
            bulk = None
        if bulk is None and not self._out and self._unsent is None and self.ready:
            self._send_first(frame)
            self._spin.asked(self.since)
            return
        self._out.append(frame)
        if bulk is not None:
            self._out.append(_data_frames(request_id, bulk))
        if self.ready and not self._writing:
            self._write()

    def _send_first(self, frame: bytes) -> None:
        try:
            sent = self._socket.send(frame)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # it is gone; what it still had to say is read first
        if sent < len(frame):
            self._unsent = memoryview(frame)[sent:]
            self._start_writing()

    def _start_writing(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._write)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)

    def _write(self) -> None:
        for _ in range(_SENDS_AT_ONCE):
            piece = self._unsent if self._unsent is not None else self._next_piece()
            if piece is None:
                self._stop_writing()
                return
            try:
                sent = self._socket.send(piece)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._out.clear()
                self._unsent = None
                self._stop_writing()
                return
            self.since = self._loop.time()
            self._unsent = piece[sent:] if sent < len(piece) else None
            if self._unsent is not None:
                break
        self._start_writing()

    def _next_piece(self) -> memoryview | None:
        while self._out:
            first = self._out[0]
            if isinstance(first, bytes):
                self._out.popleft()
                return memoryview(first)
            piece = next(first, None)
            if piece is not None:
                return memoryview(piece)
            self._out.popleft()
        return None

    # ------------------------------------------------------------------ answers

    def pause(self) -> None:
        """Read nothing more until ``resume``: the worker then has to wait."""
        if not self.waiting_for_peer and self.usable:
            self.waiting_for_peer = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again."""
        if self.waiting_for_peer and self.usable:
            self.waiting_for_peer = False
            self.since = self._loop.time()
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> bool:
        """Take what there is; returns whether there was anything."""
        try:
            if self._calls and self._calls[0][1].take_file is not None:
                count, self._attached = receive_with_file(self._socket, self._buffer)
            else:  # what a worker sends at once, and nothing of what follows
                count = self._socket.recv_into(self._buffer, HEADER_BYTES + DATA_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        try:
            return self._received(count)
        finally:
            if self._attached is not None:
                os.close(self._attached)
                self._attached = None

    def _received(self, count: int) -> bool:
        if not count:
            self.fail("the file helper ended")
            return False
        now = self._loop.time()
        self._spin.answered(now - self.since)
        self.since = now
        try:
            for frame in self._decoder.feed(self._buffer[:count]):
                self._take(frame.kind, frame.request_id, frame.payload)
            if self._decoder.error is not None:
                raise self._decoder.error
        except (MalformedMessageError, MessageTooLargeError):
            self.fail("the file helper did not keep to its protocol")
        return True

    def _take(self, kind: FrameKind, request_id: int, payload: bytes) -> None:
        if kind is FrameKind.READY:
            self._take_ready(payload)
            return
        if not self._calls or self._calls[0][0] != request_id or not self.ready:
            raise MalformedMessageError("an answer to nothing")
        call = self._calls[0][1]
        if call.needs_sandbox and not self.is_intact():
            self._withhold(call, last=kind not in (FrameKind.RESULT_PART, FrameKind.RESULT_DATA))
            return
        if kind is FrameKind.ERROR:
            error = decode_error(payload)
            self._calls.popleft()
            call.error(error)
            return
        if kind is FrameKind.RESULT_DATA or kind is FrameKind.RESULT_DATA_LAST:
            last = kind is FrameKind.RESULT_DATA_LAST
            payload = call.encode(payload, last=last)
        else:
            last = kind is FrameKind.RESULT
            call.check(payload, last=last)
            if self._attached is not None and call.take_file is not None:
                call.take_file(self._attached)
                self._attached = None
        if last:
            self._calls.popleft()
            call.result(payload)
        else:
            call.part(payload)

    def _withhold(self, call: Call, *, last: bool) -> None:
        """Pass nothing on: it may be of what came to the place of something that is denied."""
        reason = "a path of the sandbox policy changed during the request"
        if last:
            self._calls.popleft()
            call.error(HelperError(INTERNAL_ERROR, reason))
        else:
            self.fail(reason)

    def _take_ready(self, payload: bytes) -> None:
        if self.state is not WorkerState.STARTING:
            raise MalformedMessageError("ready twice")
        ready = decode_ready(payload)
        if ready.frame_version != FRAME_VERSION:
            self.fail(
                f"the file helper speaks version {ready.frame_version} of its protocol, this "
                f"server version {FRAME_VERSION}: install matching versions of exec-server and "
                "exec-fs-helper"
            )
            return
        self.state = advance(self.state, WorkerEvent.READY)
        self._write()

    # ------------------------------------------------------------------ end

    def close(self) -> None:
        """End a worker that owes nothing: it exits at the end of its input."""
        if self.usable:
            self._close_socket()

    def fail(self, reason: str) -> None:
        """Kill it, and tell every call that there will be no answer.

        Args:
            reason: For clients.
        """
        if not self.usable:
            return
        calls, self._calls = self._calls, deque()
        self.kill()
        self._close_socket()
        # The later ones first, the last of them first: they are put back in front of others. It
        # answers in order, one at a time, so that only the first can have been begun.
        while len(calls) > 1:
            calls.pop()[1].lost(reason, begun=False)
        if calls:
            calls.pop()[1].lost(reason, begun=True)

    def _close_socket(self) -> None:
        self.state = advance(self.state, WorkerEvent.CLOSE)
        self.since = self._loop.time()
        self._out.clear()
        self._unsent = None
        self._stop_writing()
        self._loop.remove_reader(self._fd)
        self._socket.close()
        self._on_closed(self)

    def kill(self) -> None:
        """Kill the child and what it started. One that is stuck in the kernel ends later."""
        self._watch.signal_group(signal.SIGKILL)

    def _reaped(self, _code: int, _signal: int | None) -> None:
        # What it wrote before it ended is still in the socket.
        while self.usable and not self.waiting_for_peer and self._readable():
            pass
        if self.usable:
            self.fail("the file helper ended")
        self._watch.signal_group(signal.SIGKILL)
        self._watch.forget_group()
        self.state = advance(self.state, WorkerEvent.REAPED)
        self._after_end()
        self._on_ended(self)


def _data_frames(request_id: int, bulk: Payload) -> Iterator[bytes]:
    *pieces, last = bulk.pieces or [memoryview(b"")]
    for piece in pieces:
        for start in range(0, len(piece), PIECE_BYTES):
            part = piece[start : start + PIECE_BYTES]
            yield encode_frame(FrameKind.REQUEST_DATA, request_id, part)
    yield from encode_request_data(request_id, last)
