"""Frames between a server and its file helper. Pure: bytes in, frames out.

The server starts the helper as a child and speaks to it over the child's stdin and stdout.
Every frame has the same shape; numbers are unsigned and big-endian::

    length  4 bytes   of the payload alone, at most MAX_PAYLOAD_BYTES
    kind    1 byte    FrameKind
    id      4 bytes   the request this belongs to; 0 in READY
    payload length bytes

=====================  =========  =====================================================
kind                   direction  payload
=====================  =========  =====================================================
1 READY                worker →   ``{"frameVersion":2,"helperVersion":"0.1.0"}``, once, first
2 REQUEST              → worker   ``{"op":"fs/readFile","params":{…}}``
3 REQUEST_DATA         → worker   a piece of the request's bulk base64 text
4 REQUEST_DATA_LAST    → worker   the last piece, possibly empty
5 RESULT_PART          worker →   a piece of the JSON text of the result; more follows
6 RESULT               worker →   the last, usually the only, piece: the request succeeded
7 ERROR                worker →   ``{"code":-32004,"message":"…"}``: the request failed
8 RESULT_DATA          worker →   a piece of the bytes that a bulk result is about
9 RESULT_DATA_LAST     worker →   the last piece, possibly empty: the request succeeded
=====================  =========  =====================================================

Rules beyond the shape:

* An operation in ``BULK_MEMBERS`` has one large base64 member. It is left out of ``params``
  and follows the REQUEST as data frames, cut anywhere; the last is REQUEST_DATA_LAST even
  when there is nothing to send. No other frame may come between. Other operations have none.
* A worker answers in the order of the requests, one at a time. Requests may be sent ahead.
* An operation in ``BULK_RESULTS`` succeeds with data frames, cut anywhere: raw bytes, which the
  server makes base64 of. It knows the other members of the result without being told: ``eof``
  of a block says that there are fewer bytes than were asked for. Other operations have none.
* Of these, the pieces of a result, joined, are one JSON object, in ASCII. A list is cut
  between two items: a server checks piece by piece.
* The RESULT of ``fs/open`` for reading carries the open file (``SCM_RIGHTS``) where the worker's
  stdout is a socket. The server may read from it instead of asking.
* An ERROR may still come after some pieces, when a device fails in the middle of a file.
  What was forwarded by then cannot be completed.
* EOF ends a worker: it finishes what it has read completely, drops a request that was cut
  off, closes its files and exits with status 0. A frame that breaks these rules ends it
  with status ``EXIT_PROTOCOL_ERROR``.

Standard library only: the helper imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ._errno import is_errno
from ._frames import (
    FROM_SERVER,
    FROM_WORKER,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    PIECE_BYTES,
    Frame,
    FrameDecoder,
    FrameKind,
)
from .errors import LocalProtocolError, MalformedMessageError

__all__ = [
    "BULK_MEMBERS",
    "BULK_RESULTS",
    "DATA_BYTES",
    "EXIT_PROTOCOL_ERROR",
    "FRAME_VERSION",
    "FROM_SERVER",
    "FROM_WORKER",
    "HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "PIECE_BYTES",
    "REQUEST_ID_MAX",
    "Frame",
    "FrameDecoder",
    "FrameKind",
    "HelperError",
    "Ready",
    "Request",
    "decode_error",
    "decode_ready",
    "decode_request",
    "encode_error",
    "encode_frame",
    "encode_header",
    "encode_ready",
    "encode_request",
    "encode_request_data",
]

FRAME_VERSION: Final = 2
"""Version of this format. Worker and server may come from different environments: a
server that reads another number in READY does not use the worker."""

DATA_BYTES: Final = 3 * 87_382
"""Raw bytes in one frame as the helper sends them; others may be longer. Four of them hold the
largest block; a multiple of 3, so that base64 has no rest."""

REQUEST_ID_MAX: Final = 2**32 - 1
"""Ids are 1 to this, chosen by the server; it may start over."""

BULK_MEMBERS: Final = {"fs/writeFile": "dataBase64", "fs/writeBlock": "chunk"}
"""Operation to the member of its params that travels as data frames."""

BULK_RESULTS: Final = {"fs/readFile": "dataBase64", "fs/readBlock": "chunk"}
"""Operation to the member of its result whose bytes travel as data frames."""

_SCAN: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
"""Reads one value from a place in a text, without white space around it."""

EXIT_PROTOCOL_ERROR: Final = 65
"""Exit status of a worker that was sent something illegal (``EX_DATAERR``)."""


class Ready(NamedTuple):
    """First message of a worker.

    Attributes:
        frame_version: Compare with ``FRAME_VERSION``.
        helper_version: Version of the helper's distribution, for people.
    """

    frame_version: int
    helper_version: str


class Request(NamedTuple):
    """Request to a worker.

    Attributes:
        op: Method name, or an operation that only servers use.
        params: Params of the method without ``sandbox`` and without the bulk member.
    """

    op: str
    params: dict[str, Any]


class HelperError(NamedTuple):
    """Error of a request.

    Attributes:
        code: Error code of the wire.
        message: Text for people.
        number: The system's error number, if it was the system that refused.
    """

    code: int
    message: str
    number: int | None = None


def encode_header(kind: FrameKind, request_id: int, length: int) -> bytes:
    """Return the bytes that precede a payload of ``length`` bytes.

    Raises:
        LocalProtocolError: A payload or an id that no frame may have.
    """
    if not 0 <= length <= MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(f"a payload of {length} bytes does not fit into a frame")
    if not 0 <= request_id <= REQUEST_ID_MAX or (request_id == 0) is not (kind is FrameKind.READY):
        raise LocalProtocolError(f"a {kind.name} frame cannot have request id {request_id}")
    return b"%b%c%b" % (length.to_bytes(4, "big"), kind, request_id.to_bytes(4, "big"))


def encode_frame(kind: FrameKind, request_id: int, payload: bytes | memoryview) -> bytes:
    """Return a whole frame; raises as ``encode_header``.

    For large payloads, write header and payload apart instead.
    """
    return b"".join((encode_header(kind, request_id, len(payload)), payload))


def encode_ready(helper_version: str) -> bytes:
    """Return the first frame of a worker."""
    ready = {"frameVersion": FRAME_VERSION, "helperVersion": helper_version}
    return encode_frame(FrameKind.READY, 0, _dump(ready))


def encode_request(request_id: int, op: str, params: Mapping[str, Any]) -> bytes:
    """Return a REQUEST frame; for an operation in ``BULK_MEMBERS`` its data must follow.

    Args:
        request_id: 1 to ``REQUEST_ID_MAX``, not in use.
        op: Method name.
        params: JSON values, without ``sandbox`` and without the bulk member.

    Raises:
        LocalProtocolError: The params do not fit into a frame (a path of a megabyte), or
            the id is illegal.
    """
    return encode_frame(FrameKind.REQUEST, request_id, _dump({"op": op, "params": params}))


def encode_request_data(request_id: int, text: bytes | memoryview) -> Iterator[bytes]:
    """Yield the data frames for the whole of a bulk base64 text, at least one.

    Args:
        request_id: That of the REQUEST just sent.
        text: The base64 text in ASCII. Not checked: the worker does that.
    """
    view = memoryview(text)
    for start in range(0, len(view) - PIECE_BYTES, PIECE_BYTES):
        piece = view[start : start + PIECE_BYTES]
        yield encode_frame(FrameKind.REQUEST_DATA, request_id, piece)
    rest = (len(view) - 1) // PIECE_BYTES * PIECE_BYTES if len(view) else 0
    yield encode_frame(FrameKind.REQUEST_DATA_LAST, request_id, view[rest:])


def encode_error(request_id: int, code: int, message: str, number: int | None = None) -> bytes:
    """Return an ERROR frame."""
    told: dict[str, int | str] = {"code": code, "message": message}
    if number:
        told["errno"] = number
    return encode_frame(FrameKind.ERROR, request_id, _dump(told))


def decode_ready(payload: bytes) -> Ready:
    """Return what a READY frame says. The caller compares the version.

    Raises:
        MalformedMessageError: It says nothing of the kind.
    """
    value = _load(payload)
    frame_version, helper_version = value.get("frameVersion"), value.get("helperVersion")
    if type(frame_version) is not int or not isinstance(helper_version, str):
        raise MalformedMessageError("a READY frame without its versions")
    return Ready(frame_version, helper_version)


def decode_request(payload: bytes) -> Request:
    """Return what a REQUEST frame asks.

    Raises:
        MalformedMessageError: It asks nothing.
    """
    value = _load(payload)
    op, params = value.get("op"), value.get("params")
    if not isinstance(op, str) or not isinstance(params, dict):
        raise MalformedMessageError("a REQUEST frame without an operation or params")
    return Request(op, params)


def decode_error(payload: bytes) -> HelperError:
    """Return what an ERROR frame says.

    Raises:
        MalformedMessageError: It has no code or no message, or a number that no system has.
    """
    value = _load(payload)
    code, message, number = (value.get(name) for name in ("code", "message", "errno"))
    if type(code) is not int or not isinstance(message, str):
        raise MalformedMessageError("an ERROR frame without a code or a message")
    if number is not None and not is_errno(number):
        raise MalformedMessageError("an ERROR frame with an errno that no system has")
    return HelperError(code, message, number)


def _dump(value: Mapping[str, Any]) -> bytes:
    # Escaping keeps lone surrogates, which a peer may spell in a name, out of the encoder.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _load(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode("utf-8")
        value, end = _SCAN(text, 0)
    except (ValueError, StopIteration, RecursionError) as error:
        raise MalformedMessageError("a frame whose payload is no JSON") from error
    if end != len(text):
        raise MalformedMessageError("a frame with more than JSON in its payload")
    if not isinstance(value, dict):
        raise MalformedMessageError("a frame whose payload is no JSON object")
    return value
