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
1 READY                worker →   ``{"frameVersion":1,"helperVersion":"0.1.0"}``, once, first
2 REQUEST              → worker   ``{"op":"fs/readFile","params":{…}}``
3 REQUEST_DATA         → worker   a piece of the request's bulk base64 text
4 REQUEST_DATA_LAST    → worker   the last piece, possibly empty
5 RESULT_PART          worker →   a piece of the JSON text of the result; more follows
6 RESULT               worker →   the last, usually the only, piece: the request succeeded
7 ERROR                worker →   ``{"code":-32004,"message":"…"}``: the request failed
=====================  =========  =====================================================

Rules beyond the shape:

* An operation in ``BULK_MEMBERS`` has one large base64 member. It is left out of ``params``
  and follows the REQUEST as data frames, cut anywhere; the last is REQUEST_DATA_LAST even
  when there is nothing to send. No other frame may come between. Other operations have none.
* A worker answers in the order of the requests, one at a time. Requests may be sent ahead.
* The pieces of a result, joined, are one JSON object, in ASCII. Base64 text is cut at
  multiples of four characters, a list between two items: a server checks piece by piece.
* An ERROR may still come after some RESULT_PARTs, when a device fails in the middle of a
  file. What was forwarded by then cannot be completed.
* EOF ends a worker: it finishes what it has read completely, drops a request that was cut
  off, closes its files and exits with status 0. A frame that breaks these rules ends it
  with status ``EXIT_PROTOCOL_ERROR``.

Standard library only: the helper imports this module.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from .errors import LocalProtocolError, MalformedMessageError, MessageTooLargeError

__all__ = [
    "BULK_MEMBERS",
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

FRAME_VERSION: Final = 1
"""Version of this format. Worker and server may come from different environments: a
server that reads another number in READY does not use the worker."""

HEADER_BYTES: Final = 9
"""Length, kind and request id."""

PIECE_BYTES: Final = 1024 * 1024
"""Bulk text in one frame: large enough that a frame's cost vanishes, small enough to hold."""

MAX_PAYLOAD_BYTES: Final = PIECE_BYTES + 1024
"""Payload of one frame: a piece, and the few characters of JSON around it."""

REQUEST_ID_MAX: Final = 2**32 - 1
"""Ids are 1 to this, chosen by the server; it may start over."""

BULK_MEMBERS: Final = {"fs/writeFile": "dataBase64", "fs/writeBlock": "chunk"}
"""Operation to the member of its params that travels as data frames."""

_SCAN: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
"""Reads one value from a place in a text, without white space around it."""

EXIT_PROTOCOL_ERROR: Final = 65
"""Exit status of a worker that was sent something illegal (``EX_DATAERR``)."""


class FrameKind(IntEnum):
    """What a frame means; the table above."""

    READY = 1
    REQUEST = 2
    REQUEST_DATA = 3
    REQUEST_DATA_LAST = 4
    RESULT_PART = 5
    RESULT = 6
    ERROR = 7


FROM_SERVER: Final = frozenset(
    {FrameKind.REQUEST, FrameKind.REQUEST_DATA, FrameKind.REQUEST_DATA_LAST}
)
"""Kinds that a worker accepts."""

FROM_WORKER: Final = frozenset(
    {FrameKind.READY, FrameKind.RESULT_PART, FrameKind.RESULT, FrameKind.ERROR}
)
"""Kinds that a server accepts."""


class Frame(NamedTuple):
    """One frame.

    Attributes:
        kind: What it means.
        request_id: 0 for READY alone.
        payload: At most ``MAX_PAYLOAD_BYTES``.
    """

    kind: FrameKind
    request_id: int
    payload: bytes


class Ready(NamedTuple):
    """What a worker says first.

    Attributes:
        frame_version: Compare with ``FRAME_VERSION``.
        helper_version: Version of the helper's distribution, for people.
    """

    frame_version: int
    helper_version: str


class Request(NamedTuple):
    """What a worker is asked.

    Attributes:
        op: Method name, or an operation that only servers use.
        params: Params of the method without ``sandbox`` and without the bulk member.
    """

    op: str
    params: dict[str, Any]


class HelperError(NamedTuple):
    """Why a request failed.

    Attributes:
        code: Error code of the wire.
        message: Text for people.
    """

    code: int
    message: str


class FrameDecoder:
    """Turns bytes, cut anywhere, into frames.

    Holds at most one unfinished frame and what was fed with it. After an error it stays
    broken: the stream has lost its place.
    """

    def __init__(self, accept: frozenset[FrameKind]) -> None:
        """``accept`` lists the kinds of the direction: ``FROM_WORKER`` or ``FROM_SERVER``."""
        self._accept = {int(kind): kind for kind in accept}
        self._chunks: deque[bytes] = deque()
        self._offset = 0
        self._size = 0
        self._header: tuple[FrameKind, int, int] | None = None
        self._broken: MalformedMessageError | MessageTooLargeError | None = None

    @property
    def error(self) -> MalformedMessageError | MessageTooLargeError | None:
        """What broke the stream, if anything did."""
        return self._broken

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes, in order; often none.

        When legal frames precede an illegal one, they are returned, ``error`` is set, and the
        next call raises it.

        Raises:
            MalformedMessageError: A kind that this direction does not have, or an id that
                the kind may not carry.
            MessageTooLargeError: A payload above ``MAX_PAYLOAD_BYTES`` is announced. Raised
                from the header, before the payload is collected.
        """
        if self._broken is not None:
            raise self._broken
        if not self._size and self._header is None and len(data) >= HEADER_BYTES:
            # Nearly always it is one whole frame. What is illegal is told further down.
            length, kind = int.from_bytes(data[:4], "big"), self._accept.get(data[4])
            request_id = int.from_bytes(data[5:HEADER_BYTES], "big")
            whole = length == len(data) - HEADER_BYTES <= MAX_PAYLOAD_BYTES
            if whole and request_id and kind is not None and kind is not FrameKind.READY:
                return [Frame(kind, request_id, data[HEADER_BYTES:])]
        if data:
            self._chunks.append(data)
            self._size += len(data)
        frames: list[Frame] = []
        while True:
            if self._header is None:
                if self._size < HEADER_BYTES:
                    return frames
                try:
                    self._header = self._parse_header(self._take(HEADER_BYTES))
                except (MalformedMessageError, MessageTooLargeError) as error:
                    self._broken = error
                    self._chunks.clear()
                    if frames:
                        return frames
                    raise
            kind, request_id, length = self._header
            if self._size < length:
                return frames
            frames.append(Frame(kind, request_id, self._take(length)))
            self._header = None

    def finish(self) -> None:
        """Say that no more bytes will come.

        Raises:
            MalformedMessageError: The stream ended inside a frame, or was broken before.
            MessageTooLargeError: It was broken before.
        """
        if self._broken is not None:
            raise self._broken
        if self._size or self._header is not None:
            raise MalformedMessageError("the stream ended inside a frame")

    def _parse_header(self, raw: bytes) -> tuple[FrameKind, int, int]:
        length = int.from_bytes(raw[:4], "big")
        request_id = int.from_bytes(raw[5:], "big")
        kind = self._accept.get(raw[4])
        if kind is None:
            raise MalformedMessageError(f"unexpected frame kind {raw[4]}")
        if length > MAX_PAYLOAD_BYTES:
            raise MessageTooLargeError(f"a frame of {length} bytes")
        if (request_id == 0) is not (kind is FrameKind.READY):
            raise MalformedMessageError(f"a {kind.name} frame with request id {request_id}")
        return kind, request_id, length

    def _take(self, count: int) -> bytes:
        """Remove and return the first ``count`` bytes; there are as many."""
        self._size -= count
        first, start = self._chunks[0] if self._chunks else b"", self._offset
        if len(first) - start > count:
            self._offset += count
            return first[start : start + count]
        taken: list[bytes] = []
        while count:
            chunk = self._chunks[0]
            piece = chunk[self._offset : self._offset + count]
            taken.append(piece)
            count -= len(piece)
            self._offset += len(piece)
            if self._offset == len(chunk):
                self._chunks.popleft()
                self._offset = 0
        return taken[0] if len(taken) == 1 else b"".join(taken)


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


def encode_error(request_id: int, code: int, message: str) -> bytes:
    """Return an ERROR frame."""
    return encode_frame(FrameKind.ERROR, request_id, _dump({"code": code, "message": message}))


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
        MalformedMessageError: It has no code or no message.
    """
    value = _load(payload)
    code, message = value.get("code"), value.get("message")
    if type(code) is not int or not isinstance(message, str):
        raise MalformedMessageError("an ERROR frame without a code or a message")
    return HelperError(code, message)


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
