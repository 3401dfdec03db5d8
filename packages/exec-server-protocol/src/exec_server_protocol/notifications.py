"""The hot notifications, formatted around their payload instead of dumped from a model.

A server sends these for every piece of output. Building a model and dumping it costs some
10 µs and two more copies of the payload; this costs one ``bytes`` formatting. A test keeps
the results byte-identical with those of the models.
"""

from __future__ import annotations

from typing import Final

import pybase64

from ._base64 import decode_base64
from .rpc import encode_json

__all__ = [
    "STREAMS",
    "http_body_delta",
    "http_body_end",
    "process_closed",
    "process_exited",
    "process_id_json",
    "process_output",
    "process_stream_ended",
    "split_http_body_delta",
    "split_process_output",
]

STREAMS: Final[dict[str, bytes]] = {"stdout": b"stdout", "stderr": b"stderr", "pty": b"pty"}
"""Stream names as bytes."""


def process_id_json(process_id: str) -> bytes:
    """Return a process id as JSON: computed once for a process, used in each event."""
    return encode_json(process_id)


def process_output(process_id: bytes, seq: int, stream: bytes, data: bytes) -> bytes:
    """Return a ``process/output`` message.

    Args:
        process_id: From ``process_id_json``.
        seq: Sequence number of the chunk.
        stream: One of the values of ``STREAMS``.
        data: Payload before base64.
    """
    return (
        b'{"method":"process/output","params":{"processId":%b,"seq":%d,"stream":"%b","chunk":"%b"}}'
        % (process_id, seq, stream, pybase64.b64encode(data))
    )


_OUTPUT_HEAD: Final = b'{"method":"process/output",'
_OUTPUT_TAIL: Final = b'"}}'
_WORTH_SPLITTING_BYTES: Final = 1024


def split_process_output(message: bytes) -> tuple[bytes, bytes] | None:
    """Take the payload out of a ``process/output`` message without parsing around it.

    Args:
        message: A whole message, as received.

    Returns:
        The message with an empty ``chunk`` and the payload; ``None`` when it does not look
        like one that ends with its chunk, and has to be decoded as any other. What is
        returned still has to be decoded: the first part may be malformed.

    Raises:
        ValueError: The payload is no base64.
    """
    return _split(message, _OUTPUT_HEAD, b'"chunk":"', _OUTPUT_TAIL)


def _split(message: bytes, head: bytes, member: bytes, tail: bytes) -> tuple[bytes, bytes] | None:
    if len(message) < _WORTH_SPLITTING_BYTES or not message.startswith(head):
        return None
    end = len(message) - len(tail)
    if not message.endswith(tail):
        return None
    start = message.rfind(b'"', 0, end) + 1
    if not message.endswith(member, 0, start):
        return None
    payload = decode_base64(memoryview(message)[start:end])
    return message[:start] + tail, payload


def process_exited(
    process_id: bytes, seq: int, exit_code: int, sandbox_denied: bool, signal: int | None = None
) -> bytes:
    """Return a ``process/exited`` message. Arguments as in ``process_output``."""
    more = b"" if signal is None else b',"signal":%d' % signal
    return (
        b'{"method":"process/exited","params":{"processId":%b,"seq":%d,"exitCode":%d,'
        b'"sandboxDenied":%b%b}}'
        % (process_id, seq, exit_code, b"true" if sandbox_denied else b"false", more)
    )


def process_stream_ended(process_id: bytes, stream: bytes, last_seq: int) -> bytes:
    """Return a ``process/streamEnded`` message. Arguments as in ``process_output``."""
    return (
        b'{"method":"process/streamEnded","params":{"processId":%b,"stream":"%b","lastSeq":%d}}'
        % (process_id, stream, last_seq)
    )


def process_closed(process_id: bytes, seq: int) -> bytes:
    """Return a ``process/closed`` message. Arguments as in ``process_output``."""
    return b'{"method":"process/closed","params":{"processId":%b,"seq":%d}}' % (process_id, seq)


_DELTA_HEAD: Final = b'{"method":"http/request/bodyDelta",'
_DELTA_TAIL: Final = b'","done":false,"error":null}}'


def http_body_delta(request_id: bytes, seq: int, data: bytes) -> bytes:
    """Return an ``http/request/bodyDelta`` message with a piece of a body.

    Args:
        request_id: As JSON.
        seq: From 1, without holes.
        data: The piece before base64.
    """
    return (
        b'{"method":"http/request/bodyDelta","params":{"requestId":%b,"seq":%d,"deltaBase64":"%b'
        b'","done":false,"error":null}}' % (request_id, seq, pybase64.b64encode(data))
    )


def http_body_end(request_id: bytes, seq: int, error: str | None) -> bytes:
    """Return the message that ends a body. Arguments as in ``http_body_delta``.

    Args:
        request_id: As JSON.
        seq: The last piece's number + 1.
        error: Why the body is not complete; ``None`` when it is.
    """
    return (
        b'{"method":"http/request/bodyDelta","params":{"requestId":%b,"seq":%d,"deltaBase64":""'
        b',"done":true,"error":%b}}'
        % (request_id, seq, b"null" if error is None else encode_json(error))
    )


def split_http_body_delta(message: bytes) -> tuple[bytes, bytes] | None:
    """Take the payload out of an ``http/request/bodyDelta``, as ``split_process_output`` does.

    Raises:
        ValueError: The payload is no base64.
    """
    return _split(message, _DELTA_HEAD, b'"deltaBase64":"', _DELTA_TAIL)
