"""Messages from frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exec_server_protocol.limits import REQUEST_MAX_TEXT_BYTES
from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from .large_message import LargeMessage

__all__ = ["MessageAssembler"]

_PIECE_BYTES: Final = 16_384
"""Up to here fragments are put together at once: many short ones, or empty ones, would hold many
times their size in objects. Longer ones are put together when the last has come."""


class MessageAssembler:
    """Puts the frames of one connection together. The protocol has checked their order.

    Attributes:
        size: Bytes of a message whose end has not come yet.
    """

    __slots__ = ("_fragments", "_is_text", "size")

    def __init__(self) -> None:
        self._fragments: list[bytes | bytearray] = []
        self._is_text = False
        self.size = 0

    def add(self, frame: Frame) -> str | bytes | LargeMessage | None:
        """Take a data frame; returns the message that it ends, if it does.

        Raises:
            UnicodeDecodeError: A text message is not UTF-8. A large one is looked at later.
        """
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin and len(frame.data) <= REQUEST_MAX_TEXT_BYTES:
                return self._decode(frame.data)
        self._keep(frame.data)
        self.size += len(frame.data)
        if not frame.fin:
            return None
        fragments, size = self._fragments, self.size
        self._fragments, self.size = [], 0
        if size > REQUEST_MAX_TEXT_BYTES:
            # With the table of methods, which a server without clients does not need.
            from .large_message import LargeMessage

            return LargeMessage(fragments, size)
        return self._decode(b"".join(fragments))

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        last = self._fragments[-1] if self._fragments else None
        if isinstance(last, bytearray) and len(last) + len(data) <= _PIECE_BYTES:
            last += data
        elif len(data) < _PIECE_BYTES:
            self._fragments.append(bytearray(data))
        else:
            self._fragments.append(bytes(data) if isinstance(data, memoryview) else data)

    def _decode(self, data: bytes | bytearray | memoryview) -> str | bytes:
        return str(data, "utf-8") if self._is_text else bytes(data)

    def clear(self) -> None:
        """Forget what is unfinished."""
        self._fragments = []
        self.size = 0
