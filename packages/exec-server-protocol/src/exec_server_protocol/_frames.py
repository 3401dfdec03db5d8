"""The shape of the frames between a server and its file helper; see ``helper``.

Standard library only, and pure: bytes in, frames out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from .errors import MalformedMessageError, MessageTooLargeError

__all__ = [
    "FROM_SERVER",
    "FROM_WORKER",
    "HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "PIECE_BYTES",
    "Frame",
    "FrameDecoder",
    "FrameKind",
]

HEADER_BYTES: Final = 9
"""Length, kind and request id."""

PIECE_BYTES: Final = 1024 * 1024
"""Bulk text in one frame: large enough that a frame's cost vanishes, small enough to hold."""

MAX_PAYLOAD_BYTES: Final = PIECE_BYTES + 1024
"""Payload of one frame: a piece, and the few characters of JSON around it."""


class FrameKind(IntEnum):
    """Kind of a frame; ``helper`` has the table."""

    READY = 1
    REQUEST = 2
    REQUEST_DATA = 3
    REQUEST_DATA_LAST = 4
    RESULT_PART = 5
    RESULT = 6
    ERROR = 7
    RESULT_DATA = 8
    RESULT_DATA_LAST = 9


FROM_SERVER: Final = frozenset(
    {FrameKind.REQUEST, FrameKind.REQUEST_DATA, FrameKind.REQUEST_DATA_LAST}
)
"""Kinds that a worker accepts."""

FROM_WORKER: Final = frozenset(FrameKind) - FROM_SERVER
"""Kinds that a server accepts."""

_PART_OF: Final = {
    FrameKind.REQUEST_DATA: FrameKind.REQUEST_DATA,
    FrameKind.REQUEST_DATA_LAST: FrameKind.REQUEST_DATA,
    FrameKind.RESULT_DATA: FrameKind.RESULT_DATA,
    FrameKind.RESULT_DATA_LAST: FrameKind.RESULT_DATA,
}
"""What there is of an unfinished frame, as a frame of its own: data are cut anywhere."""


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


class FrameDecoder:
    """Turns bytes, cut anywhere, into frames.

    Data are handed out as they come, as more and shorter frames than were sent: nobody needs
    to hold a whole one. Of other kinds at most one unfinished frame is held. After an error
    the decoder stays broken: the stream has lost its place.
    """

    def __init__(self, accept: frozenset[FrameKind]) -> None:
        """``accept`` lists the kinds of the direction: ``FROM_WORKER`` or ``FROM_SERVER``."""
        self._accept = {int(kind): kind for kind in accept}
        self._held = bytearray()  # the beginning of a header, or of a payload
        self._header: tuple[FrameKind, int] | None = None
        self._missing = HEADER_BYTES  # until the header, or the payload, is complete
        self._broken: MalformedMessageError | MessageTooLargeError | None = None

    @property
    def error(self) -> MalformedMessageError | MessageTooLargeError | None:
        """Error that broke the stream; ``None`` while it is whole."""
        return self._broken

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """Return the frames that ``data`` completes, or brings data of, in order; often none.

        When legal frames precede an illegal one, they are returned, ``error`` is set, and the
        next call raises it.

        Args:
            data: What came. Nothing refers to it any more when this returns.

        Raises:
            MalformedMessageError: A kind that this direction does not have, or an id that
                the kind may not carry.
            MessageTooLargeError: A payload above ``MAX_PAYLOAD_BYTES`` is announced. Raised
                from the header, before the payload is collected.
        """
        if self._broken is not None:
            raise self._broken
        if self._header is None and not self._held and len(data) >= HEADER_BYTES:
            # Nearly always it is one whole frame. An illegal frame raises further down.
            length, kind = int.from_bytes(data[:4], "big"), self._accept.get(data[4])
            request_id = int.from_bytes(data[5:HEADER_BYTES], "big")
            whole = length == len(data) - HEADER_BYTES <= MAX_PAYLOAD_BYTES
            if whole and request_id and kind is not None and kind is not FrameKind.READY:
                return [Frame(kind, request_id, bytes(data[HEADER_BYTES:]))]
        frames: list[Frame] = []
        view = memoryview(data)
        while view or not self._missing:
            piece, view = view[: self._missing], view[self._missing :]
            self._missing -= len(piece)
            if self._header is not None:
                self._take(self._header, piece, frames)
                continue
            self._held += piece
            if not self._missing:
                try:
                    self._begin(bytes(self._held))
                except (MalformedMessageError, MessageTooLargeError) as error:
                    self._broken = error
                    if frames:
                        break
                    raise
        return frames

    def finish(self) -> None:
        """Say that no more bytes will come.

        Raises:
            MalformedMessageError: The stream ended inside a frame, or was broken before.
            MessageTooLargeError: It was broken before.
        """
        if self._broken is not None:
            raise self._broken
        if self._held or self._header is not None:
            raise MalformedMessageError("the stream ended inside a frame")

    def _begin(self, raw: bytes) -> None:
        """Begin the frame with this header."""
        length = int.from_bytes(raw[:4], "big")
        request_id = int.from_bytes(raw[5:], "big")
        kind = self._accept.get(raw[4])
        if kind is None:
            raise MalformedMessageError(f"unexpected frame kind {raw[4]}")
        if length > MAX_PAYLOAD_BYTES:
            raise MessageTooLargeError(f"a frame of {length} bytes")
        if (request_id == 0) is not (kind is FrameKind.READY):
            raise MalformedMessageError(f"a {kind.name} frame with request id {request_id}")
        self._held.clear()
        self._header, self._missing = (kind, request_id), length

    def _take(self, header: tuple[FrameKind, int], piece: memoryview, frames: list[Frame]) -> None:
        """Take the next piece of the payload; hand out what need not wait."""
        kind, request_id = header
        part = _PART_OF.get(kind)
        if part is None:
            self._held += piece
        if not self._missing:
            payload = bytes(piece if part is not None else self._held)
            frames.append(Frame(kind, request_id, payload))
            self._held.clear()
            self._header, self._missing = None, HEADER_BYTES
        elif part is not None:
            frames.append(Frame(part, request_id, bytes(piece)))
