"""Size limits of requests; and where to look for the id of a request beyond them. Pure."""

from __future__ import annotations

from typing import Final

from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.limits import REQUEST_MAX_OTHER_BYTES
from exec_server_protocol.methods import PROCESS_START
from exec_server_protocol.rpc import Request

from ..runtime.payload import Payload
from ..transport.large_message import PAYLOAD_MEMBERS, LargeMessage

__all__ = ["check_size", "start_of"]

_START_BYTES: Final = 300
"""Where the id of a request is looked for that is too large to be parsed."""


def check_size(request: Request, message_bytes: int, payload: Payload | None) -> None:
    """Refuse what would take long to be understood: only a command line may be long.

    Args:
        request: As parsed.
        message_bytes: Length of its message.
        payload: What was cut out of that.

    Raises:
        InvalidParamsError: It is too large.
    """
    size = message_bytes - (0 if payload is None else payload.size)
    if size <= REQUEST_MAX_OTHER_BYTES or request.method == PROCESS_START.name:
        return
    member, params = PAYLOAD_MEMBERS.get(request.method), request.params
    if member is not None and isinstance(params, dict):
        text = params.get(member)
        size -= len(text) if isinstance(text, str) else 0
    if size > REQUEST_MAX_OTHER_BYTES:
        raise InvalidParamsError(
            f"{request.method} has more than {REQUEST_MAX_OTHER_BYTES} bytes"
            f"{' beside ' + member if member else ''}"
        )


def start_of(data: str | bytes | LargeMessage) -> str:
    """Return the beginning of a message, where its id stands, as nearly all peers write it."""
    if isinstance(data, str):
        return data[:_START_BYTES]
    start = data.start(_START_BYTES) if isinstance(data, LargeMessage) else data[:_START_BYTES]
    return start.decode("utf-8", "replace")
