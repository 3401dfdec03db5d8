"""Long messages, which are not parsed as they are: the event loop would stand still meanwhile.

Only a base64 payload makes a request long: bytes of a file, of an HTTP body, for a child. Such a
payload is cut out without a look at it, what is left is parsed like any request, and the payload
is passed on or decoded in pieces. Nothing of it is joined or copied on the way.

The payload has to be one string that takes up the middle of the message, without escapes. Whether
it really was the member that it is taken for is certain: a word that nobody outside can know
stands in its place while the rest is parsed, and has to come out as the value of that member.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from exec_server_protocol.errors import MalformedMessageError, RequestTooLargeError
from exec_server_protocol.limits import REQUEST_MAX_TEXT_BYTES
from exec_server_protocol.methods import FS_WRITE_BLOCK, FS_WRITE_FILE, HTTP_REQUEST, PROCESS_WRITE
from exec_server_protocol.rpc import Message, Request, decode_from_client, encode_json

from ..runtime.payload import Payload

__all__ = ["PAYLOAD_MEMBERS", "LargeMessage"]

PAYLOAD_MEMBERS: Final = {
    FS_WRITE_BLOCK.name: "chunk",
    FS_WRITE_FILE.name: "dataBase64",
    HTTP_REQUEST.name: "bodyBase64",
    PROCESS_WRITE.name: "chunk",
}
"""Methods that take a payload, and the member that it is."""

_QUOTE: Final = b'"'

_MARK: Final = secrets.token_hex(16)


class LargeMessage:
    """A whole message in fragments.

    Args:
        fragments: In their order.
        size: Of all of them, in bytes.
    """

    __slots__ = ("_fragments", "_size")

    def __init__(self, fragments: Sequence[bytes | bytearray], size: int) -> None:
        self._fragments = fragments
        self._size = size

    def __len__(self) -> int:
        return self._size

    def start(self, size: int) -> bytes:
        """Return the first bytes."""
        return b"".join(self._cut(0, size))

    def decode(self) -> tuple[Message, Payload | None]:
        """Return the message with an empty text in the place of its payload, and the payload.

        It has none when what makes it long is in a member of the message that is ignored.

        Raises:
            RequestTooLargeError: It is long without a payload.
            MalformedMessageError: It is nothing that servers take.
        """
        too_long = RequestTooLargeError(
            f"more than {REQUEST_MAX_TEXT_BYTES} bytes, apart from one base64 payload"
        )
        start, end = self._payload()
        if self._size - (end - start) > REQUEST_MAX_TEXT_BYTES:
            raise too_long
        text = b"".join([*self._cut(0, start), _MARK.encode(), *self._cut(end, self._size)])
        try:
            message = decode_from_client(text)
        except RequestTooLargeError:
            raise
        except MalformedMessageError as error:
            # Places in the text would be those in what is left of it.
            raise MalformedMessageError(f"{error}, behind a long payload") from error
        if not isinstance(message, Request):
            raise too_long
        params, member = message.params, PAYLOAD_MEMBERS.get(message.method)
        if member is None or not isinstance(params, dict) or params.get(member) != _MARK:
            if _MARK.encode() in encode_json([message.id, message.method, params]):
                raise too_long
            return message, None  # it was in something that nobody looks at
        return replace(message, params={**params, member: ""}), Payload(self._cut(start, end))

    def _payload(self) -> tuple[int, int]:
        """Return where the string begins and ends that holds the middle of the message."""
        middle = self._size // 2
        start = end = at = 0
        ended = False
        for fragment in self._fragments:
            if at < middle:
                found = fragment.rfind(_QUOTE, 0, middle - at)
                start = at + found + 1 if found >= 0 else start
            if not ended and at + len(fragment) > middle:
                found = fragment.find(_QUOTE, max(0, middle - at))
                ended = found >= 0
                end = at + found if ended else end
            at += len(fragment)
        if not ended:
            end = start
        return start, end

    def _cut(self, start: int, end: int) -> list[memoryview]:
        found = []
        at = 0
        for fragment in self._fragments:
            piece = memoryview(fragment)[max(0, start - at) : max(0, end - at)]
            at += len(fragment)
            if piece:
                found.append(piece)
        return found
