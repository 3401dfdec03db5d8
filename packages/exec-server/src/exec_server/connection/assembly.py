"""Messages from frames."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

__all__ = ["MessageAssembler"]


class MessageAssembler:
    """Puts the frames of one connection together. The protocol has checked their order.

    Attributes:
        size: Bytes of a message whose end has not come yet.
    """

    __slots__ = ("_fragments", "_is_text", "size")

    def __init__(self) -> None:
        self._fragments: list[bytes | bytearray | memoryview] = []
        self._is_text = False
        self.size = 0

    def add(self, frame: Frame) -> str | bytes | None:
        """Take a data frame; returns the message that it ends, if it does.

        Raises:
            UnicodeDecodeError: A text message is not UTF-8.
        """
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                return self._decode(frame.data)
        self._fragments.append(frame.data)
        self.size += len(frame.data)
        if not frame.fin:
            return None
        data = b"".join(self._fragments)
        self.clear()
        return self._decode(data)

    def _decode(self, data: bytes | bytearray | memoryview) -> str | bytes:
        return str(data, "utf-8") if self._is_text else bytes(data)

    def clear(self) -> None:
        """Forget what is unfinished."""
        self._fragments.clear()
        self.size = 0
