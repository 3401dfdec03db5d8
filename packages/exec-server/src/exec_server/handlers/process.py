"""``process/*``: params in, answer out.

Whatever is about one process happens in the order of the requests: a request that meets a
process which is still starting waits for the start, and only such requests wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from exec_server_protocol.errors import InvalidParamsError, InvalidRequestError
from exec_server_protocol.methods import (
    PROCESS_CATCH_UP,
    PROCESS_CLOSE_STDIN,
    PROCESS_LIST,
    PROCESS_READ,
    PROCESS_RESIZE,
    PROCESS_SIGNAL,
    PROCESS_START,
    PROCESS_TERMINATE,
    PROCESS_WRITE,
)
from exec_server_protocol.path_uri import InvalidPathError
from exec_server_protocol.rpc import encode_json

from ..launching.spawn import SpawnRequest
from ..process.process import Process
from ..runtime.direct_future import Slices
from ..runtime.futures import hand_on, then
from ..runtime.payload import Payload
from .process_catch_up import catch_up
from .process_read import read

if TYPE_CHECKING:
    from exec_server_protocol.process import (
        ProcessCloseStdinParams,
        ProcessListParams,
        ProcessResizeParams,
        ProcessSignalParams,
        ProcessStartParams,
        ProcessTerminateParams,
        ProcessWriteParams,
    )

    from ..rpc.connection import Answer, Connection, Handler

__all__ = ["HANDLERS"]

_EMPTY: Final = b"{}"
_WRITE_MAX_BYTES: Final = 16 * 1024 * 1024
"""Of one write, as base64: what fits into one frame. Clients write a megabyte at a time; a pipe
takes 64 KiB."""
_ARGV0_MAX_CHARACTERS: Final = 1024
"""Of what ``process/list`` shows of a program: it may show a thousand."""
_LIST_BYTES: Final = 64 * 1024
"""Of an answer to ``process/list`` that is made at once."""
_LISTED_AT_ONCE: Final = 64
"""Processes of a slice of a longer one: with the longest ids two megabytes."""
_UNKNOWN: Final = "unknownProcess"

T = TypeVar("T")


def _when_started(
    connection: Connection,
    process_id: str,
    action: Callable[[Process | None], T | asyncio.Future[T]],
) -> T | asyncio.Future[T]:
    """Run ``action`` now, or when the start that is under way has ended."""
    table = connection.attached_session.processes
    process = table.get(process_id)
    if process is None or not process.is_starting:
        return action(process)
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def later() -> None:
        if future.cancelled():
            return
        try:
            answer = action(table.get(process_id))
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the future
            future.set_exception(error)
            return
        if isinstance(answer, asyncio.Future):
            hand_on(answer, future)
        else:
            future.set_result(answer)

    process.defer(later)
    return future


def start(connection: Connection, params: ProcessStartParams) -> asyncio.Future[Answer]:
    """Reserve the id, then start the child.

    The start belongs to the session: when the connection goes, it is finished all the same,
    and the client finds the process after it has resumed.
    """
    if not params.argv:
        raise InvalidParamsError("argv must not be empty")
    _check_enforceable(params)
    observed = connection.instruments.process()
    request = SpawnRequest(
        argv=params.argv,
        arg0=params.arg0,
        cwd=_native_cwd(params),
        env=params.env,
        tty=params.tty,
        pipe_stdin=params.pipe_stdin,
        rows=params.rows or 24,
        cols=params.cols or 80,
        sandbox=params.sandbox,
        env_policy=params.env_policy,
        trace=observed.variables(),
        merge_stderr=params.merge_stderr is True,
        start_errors=params.start_errors is True,
    )
    table = connection.attached_session.processes
    process = table.reserve(
        params.process_id,
        params.argv[0][:_ARGV0_MAX_CHARACTERS],
        tty=params.tty,
        sandboxed=params.sandbox is not None,
        output_policy=params.output_policy or "drop-oldest",
        details=params.details is True,
        observed=observed,
    )
    confined = params.sandbox is not None and sys.platform == "linux"

    def result() -> bytes:
        return b'{"processId":%b,"sandboxType":"%b"%b}' % (
            encode_json(params.process_id),
            b"linuxSeccomp" if confined else b"none",
            process.details.of_start(process.controls.pid),
        )

    return table.start_in_background(process, request, result)


def _check_enforceable(params: ProcessStartParams) -> None:
    """Refuse what this server cannot enforce: running it unconfined would be worse."""
    if params.network_proxy is not None:
        raise InvalidParamsError("networkProxy cannot be enforced on this executor")
    if params.enforce_managed_network:
        # It asks for a network that leads to a proxy and nowhere else. There is no such
        # bridge here, and both no network and all of it would be something else.
        raise InvalidParamsError("enforceManagedNetwork cannot be enforced on this executor")


def _native_cwd(params: ProcessStartParams) -> bytes:
    try:
        return params.cwd.to_native()
    except InvalidPathError as error:
        raise InvalidParamsError(f"cwd: {error}") from error


def write(connection: Connection, params: ProcessWriteParams) -> bytes | asyncio.Future[bytes]:
    """Queue bytes for stdin. What is wrong with the process is a status, not an error."""
    if not params.write_id:
        raise InvalidParamsError("writeId must not be empty")

    chunk = params.chunk if connection.payload is None else _decoded(connection.payload)

    def action(process: Process | None) -> bytes | asyncio.Future[bytes]:
        if process is None:
            return _status(_UNKNOWN)
        status = process.controls.write(params.write_id, chunk)
        return _status(status) if isinstance(status, str) else then(status, _status)

    return _when_started(connection, params.process_id, action)


def _decoded(payload: Payload) -> bytes:
    if payload.size > _WRITE_MAX_BYTES:
        raise InvalidParamsError(f"chunk: at most {_WRITE_MAX_BYTES} bytes of base64")
    try:
        return b"".join(payload.decoded())
    except ValueError as error:
        raise InvalidParamsError(f"chunk: {error}") from error


def _status(status: str) -> bytes:
    return b'{"status":"%b"}' % status.encode()


def close_stdin(
    connection: Connection, params: ProcessCloseStdinParams
) -> bytes | asyncio.Future[bytes]:
    """End stdin after what was written so far."""

    def action(process: Process | None) -> bytes:
        return _status(_UNKNOWN if process is None else process.controls.close_stdin())

    return _when_started(connection, params.process_id, action)


def resize(connection: Connection, params: ProcessResizeParams) -> bytes | asyncio.Future[bytes]:
    """Change the size of a terminal."""

    def action(process: Process | None) -> bytes:
        if process is None:
            raise InvalidRequestError(f"unknown process id {params.process_id}")
        if not process.tty:
            raise InvalidRequestError(f"process {params.process_id} has no terminal")
        process.controls.resize(params.rows, params.cols)
        return _EMPTY

    return _when_started(connection, params.process_id, action)


def send_signal(
    connection: Connection, params: ProcessSignalParams
) -> bytes | asyncio.Future[bytes]:
    """Signal a process; one that is unknown or has ended is none to complain about."""

    def action(process: Process | None) -> bytes:
        if process is not None:
            process.controls.send_signal(params.signal)
        return _EMPTY

    return _when_started(connection, params.process_id, action)


def terminate(connection: Connection, params: ProcessTerminateParams) -> bytes:
    """Kill the tree, or let a start that is under way fail."""
    process = connection.attached_session.processes.get(params.process_id)
    if process is None:
        running = False
    elif process.is_starting:
        process.start_cancelled = running = True
    else:
        running = process.terminate((params.grace_ms or 0) / 1000)
    return b'{"running":true}' if running else b'{"running":false}'


def list_processes(connection: Connection, params: ProcessListParams) -> Answer:
    """List the session's processes, finished ones that are still readable included."""
    items = [
        (process.id, process.argv0, _listed(process))
        for process in connection.attached_session.processes
    ]
    # Of an id and a name each character may take six bytes. That is made while it is sent;
    # what changes was noted before.
    size = sum(len(process_id) + len(argv0) + len(rest) for process_id, argv0, rest in items)
    if size <= _LIST_BYTES:
        return b"".join(_list_parts(items))
    return Slices(_list_parts(items), size)


def _listed(process: Process) -> bytes:
    return (
        b'"state":"%b","tty":%b,"exitCode":%b,"startedAtMs":%d,"retainedBytes":%d,"nextSeq":%d}'
        % (
            process.state.value.encode(),
            b"true" if process.tty else b"false",
            b"null" if process.exit_code is None else b"%d" % process.exit_code,
            process.started_at_ms,
            process.kept.size,
            process.next_seq,
        )
    )


def _list_parts(items: list[tuple[str, str, bytes]]) -> Iterator[bytes]:
    yield b'{"processes":['
    for start in range(0, len(items), _LISTED_AT_ONCE):
        some = items[start : start + _LISTED_AT_ONCE]
        yield (b"," if start else b"") + b",".join(
            b'{"processId":%b,"argv0":%b,%b' % (encode_json(process_id), encode_json(argv0), rest)
            for process_id, argv0, rest in some
        )
    yield b"]}"


HANDLERS: Final[Mapping[str, Handler]] = {
    PROCESS_START.name: start,
    PROCESS_READ.name: read,
    PROCESS_CATCH_UP.name: catch_up,
    PROCESS_WRITE.name: write,
    PROCESS_CLOSE_STDIN.name: close_stdin,
    PROCESS_RESIZE.name: resize,
    PROCESS_SIGNAL.name: send_signal,
    PROCESS_TERMINATE.name: terminate,
    PROCESS_LIST.name: list_processes,
}
"""Handlers by method."""
