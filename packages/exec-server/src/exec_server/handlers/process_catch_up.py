"""``process/catchUp``: what a client missed, page by page, until it gets events as they happen."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Final

from exec_server_protocol.errors import InvalidRequestError

from ..output.retained import Chunk
from ..process.process import Process
from ..process.states import ProcessState
from ..runtime.futures import then
from .process_read import answer_with

if TYPE_CHECKING:
    from exec_server_protocol.process import ProcessCatchUpParams

    from ..rpc.connection import Answer, Connection

__all__ = ["catch_up"]

_PIECE_BYTES: Final = 256
"""What a piece costs of the page beside its payload, here and in its client: output that was
written byte by byte would make pages of a hundred times their size."""


def catch_up(
    connection: Connection, params: ProcessCatchUpParams
) -> Answer | asyncio.Future[Answer]:
    """Return the next page.

    Raises:
        InvalidRequestError: The session has no such process.
    """
    process = connection.attached_session.processes.get(params.process_id)
    if process is None:
        raise InvalidRequestError(f"unknown process id {params.process_id}")
    process.confirm_arrived()
    process.kept.claim(params.after_seq)
    encode = partial(_encode, connection, process, params.after_seq)
    if not params.max_bytes:
        return encode([])
    chunks = process.kept.read(params.after_seq, params.max_bytes, _PIECE_BYTES)
    return then(chunks, encode) if isinstance(chunks, asyncio.Future) else encode(chunks)


def _encode(
    connection: Connection, process: Process, after_seq: int, chunks: list[Chunk]
) -> Answer:
    """Make the answer and, in the same step, decide what comes as notifications."""
    through = chunks[-1].seq if chunks else after_seq
    if not process.kept.has_after(through):  # exit and close are no output
        through = max(through, process.next_seq - 1)
    live = process.caught_up(connection.peer, through)
    until_now = process.written.before(None)
    before = process.written.before(chunks[0]) if chunks else until_now if live else None
    tail = (
        b'"nextSeq":%d,"outputBytes":%d,"streamOffsets":%b,"exitSeq":%b,"exitCode":%b,'
        b'"closed":%b,"sandboxDenied":%b,"live":%b%b}'
        % (
            through + 1,
            sum(until_now.values()),
            json.dumps(before).encode(),
            _number(process.exit_seq),
            _number(process.exit_code),
            _boolean(process.state is ProcessState.CLOSED),
            _boolean(process.sandbox_denied),
            _boolean(live),
            process.details.of_state(),
        )
    )
    # A page has arrived when the next one is asked for, whoever has answered a ping: its client
    # publishes it before. The last one has no next one.
    sent = partial(process.answered, through if live else None, through)
    return answer_with(chunks, tail, sent)


def _number(value: int | None) -> bytes:
    return b"null" if value is None else b"%d" % value


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"
