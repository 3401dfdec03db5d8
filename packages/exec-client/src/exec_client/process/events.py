"""Events of a process, in the order of its sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from exec_server_protocol._base64 import decode_base64
from exec_server_protocol._names import OutputStream as StreamName
from exec_server_protocol.methods import (
    PROCESS_CLOSED,
    PROCESS_EXITED,
    PROCESS_OUTPUT,
    PROCESS_STREAM_ENDED,
)

__all__ = [
    "EVENT_METHODS",
    "ClosedEvent",
    "ExitedEvent",
    "FailedEvent",
    "GapEvent",
    "OutputEvent",
    "ProcessEvent",
    "SequencedEvent",
    "StreamEnd",
    "last_number",
    "parse_event",
    "payload_size",
]


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """Bytes that the process wrote."""

    seq: int
    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class ExitedEvent:
    """The main process has ended; output may follow."""

    seq: int
    exit_code: int
    sandbox_denied: bool = False
    signal: int | None = None
    """The signal that ended it, where the executor tells."""


@dataclass(frozen=True, slots=True)
class ClosedEvent:
    """The process has ended and its output is complete. The last event."""

    seq: int


@dataclass(frozen=True, slots=True)
class GapEvent:
    """Output is lost, and what comes goes on behind it. Made on this side.

    Attributes:
        seq: First number of what is lost.
        last_seq: Its last number.
        stdout_bytes: How much of ``Process.stdout`` is lost; ``None`` where the executor does
            not tell, and it may even be nothing.
        stderr_bytes: The same of ``Process.stderr``.
    """

    seq: int
    last_seq: int
    stdout_bytes: int | None
    stderr_bytes: int | None


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """The process cannot be followed any more. The last event, made on this side."""

    message: str


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A stream is complete. It has no number of its own, and may come at any time.

    Attributes:
        last_seq: No output of the stream has a higher number.
    """

    stream: StreamName
    last_seq: int


EVENT_METHODS: Final = frozenset(
    method.name for method in (PROCESS_OUTPUT, PROCESS_EXITED, PROCESS_CLOSED, PROCESS_STREAM_ENDED)
)
"""Notifications that ``parse_event`` reads."""

SequencedEvent = OutputEvent | ExitedEvent | ClosedEvent | GapEvent
"""Events that the executor numbers, from 1 and without holes, and what fills the holes."""

ProcessEvent = OutputEvent | ExitedEvent | ClosedEvent | GapEvent | FailedEvent


def payload_size(event: ProcessEvent) -> int:
    """Return what an event costs to keep, in bytes; exit and close cost nothing."""
    if isinstance(event, OutputEvent):
        return len(event.data)
    return len(event.message) if isinstance(event, FailedEvent) else 0


def last_number(event: SequencedEvent) -> int:
    """Return the last number of an event: its own, unless it is a gap."""
    return event.last_seq if isinstance(event, GapEvent) else event.seq


def parse_event(method: str, params: object) -> tuple[str, SequencedEvent | StreamEnd]:
    """Return the process id and the event of a notification.

    Raises:
        ValueError: It does not have the shape that it should.
    """
    if not isinstance(params, dict):
        raise ValueError(f"{method} without params")
    process_id = params.get("processId")
    seq = params.get("lastSeq" if method == PROCESS_STREAM_ENDED.name else "seq")
    if not isinstance(process_id, str) or type(seq) is not int or seq < 0:
        raise ValueError(f"{method} without processId or seq")
    if method == PROCESS_OUTPUT.name:
        stream, chunk = params.get("stream"), params.get("chunk")
        if isinstance(chunk, str):
            chunk = decode_base64(chunk)
        if stream not in ("stdout", "stderr", "pty") or not isinstance(chunk, bytes):
            raise ValueError("process/output without stream or chunk")
        return process_id, OutputEvent(seq, stream, chunk)
    if method == PROCESS_STREAM_ENDED.name:
        for name in get_args(StreamName):
            if params.get("stream") == name:
                return process_id, StreamEnd(name, seq)
        raise ValueError("process/streamEnded without stream")
    if method == PROCESS_EXITED.name:
        code = params.get("exitCode")
        if type(code) is not int:
            raise ValueError("process/exited without exitCode")
        signal = params.get("signal")
        if signal is not None and type(signal) is not int:
            raise ValueError("process/exited with a signal that is no number")
        return process_id, ExitedEvent(seq, code, params.get("sandboxDenied") is True, signal)
    return process_id, ClosedEvent(seq)
