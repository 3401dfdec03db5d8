"""``fs/*``: params to what a worker is asked, in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final

import pybase64
from exec_server_protocol.errors import InvalidRequestError
from exec_server_protocol.limits import FILE_BLOCK_MAX_BYTES
from exec_server_protocol.path_uri import InvalidPathError, PathUri
from exec_server_protocol.rpc import MALFORMED_ID, RequestId, encode_json, encode_notification

from ..connection.later import ANSWERED, Later
from ..filesystem.handles import check_handle_id
from ..filesystem.lane import FileLane
from ..filesystem.request import FileRequest
from ..filesystem.watch import MissingWatches
from ..filesystem.workers import FileWorkers, SessionWorkers, is_unconfined
from ..payload import Payload
from ..telemetry.names import SpanName

if TYPE_CHECKING:
    from exec_server_protocol.filesystem import (
        FsCloseParams,
        FsOpenParams,
        FsReadBlockParams,
        FsWalkParams,
        FsWatchMissingParams,
        FsWriteBlockParams,
        FsWriteFileParams,
        WalkOptions,
    )

    from ..connection.connection import Connection, Handler, Peer
    from ..session.session import Session

__all__ = ["FileMethods"]

_ONE_PATH: Final = (("path", b"path"),)

_PATHS: Final[Mapping[str, tuple[tuple[str, bytes], ...]]] = {
    "fs/canonicalize": _ONE_PATH,
    "fs/copy": (("source_path", b"sourcePath"), ("destination_path", b"destinationPath")),
    "fs/createDirectory": _ONE_PATH,
    "fs/getMetadata": _ONE_PATH,
    "fs/move": (("source_path", b"sourcePath"), ("destination_path", b"destinationPath")),
    "fs/readDirectory": _ONE_PATH,
    "fs/readFile": _ONE_PATH,
    "fs/remove": _ONE_PATH,
}
"""Operations without anything special: their members that are paths."""

_FLAGS: Final[Mapping[str, tuple[tuple[str, bytes], ...]]] = {
    "fs/canonicalize": (),
    "fs/copy": (("recursive", b"recursive"),),
    "fs/createDirectory": (("recursive", b"recursive"), ("follow_symlinks", b"followSymlinks")),
    "fs/getMetadata": (("follow_symlinks", b"followSymlinks"),),
    "fs/move": (("overwrite", b"overwrite"),),
    "fs/readDirectory": (),
    "fs/readFile": (("follow_symlinks", b"followSymlinks"),),
    "fs/remove": (
        ("recursive", b"recursive"),
        ("force", b"force"),
        ("follow_symlinks", b"followSymlinks"),
    ),
    "fs/writeFile": (("follow_symlinks", b"followSymlinks"), ("atomic", b"atomic")),
}
"""Their members that are true or false; ``None`` is left out."""


class _FileAnswer:
    """The way back of one request; see ``filesystem.request.Answer``."""

    __slots__ = ("_begun", "_later", "_peer")

    def __init__(self, later: Later, peer: Peer) -> None:
        self._later = later
        self._peer = peer
        self._begun = False

    @property
    def blocked(self) -> bool:
        return self._peer.congested

    def when_unblocked(self, callback: Callable[[], None]) -> None:
        self._peer.when_uncongested(callback)

    def result(self, text: bytes | list[bytes]) -> None:
        self._later.set_result(text)

    def fail(self, error: BaseException) -> None:
        self._later.set_exception(error)

    def piece(self, text: bytes, *, last: bool) -> None:
        # The id comes last: as long as it has not been sent, the answer can be disowned.
        if not self._begun:
            text = b'{"result":%b' % text
            self._begun = True
        if not last:
            self._peer.send_piece(text, last=False, of=self)
            return
        self._peer.send_piece(text + self._end(self._later.request_id), last=True, of=self)
        self._later.set_result(ANSWERED)

    def disown(self, closing: bytes, error: BaseException) -> None:
        # An answer to nothing that was asked: peers ignore it.
        self._peer.send_piece(closing + self._end(MALFORMED_ID), last=True, of=self)
        self._later.set_exception(error)

    @staticmethod
    def _end(request_id: RequestId) -> bytes:
        return b',"id":%b}' % encode_json(request_id)


class FileMethods:
    """The handlers of ``fs/*``.

    Args:
        workers: Who carries requests out.
    """

    def __init__(self, workers: FileWorkers) -> None:
        self._workers = workers
        self._sessions: dict[Session, SessionWorkers] = {}
        self._lanes: dict[Connection, FileLane] = {}
        self._watches: dict[Connection, MissingWatches] = {}

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by method."""
        return {
            **{op: self._plain(op) for op in _PATHS},
            "fs/close": self._close,
            "fs/open": self._open,
            "fs/readBlock": self._read_block,
            "fs/walk": self._walk,
            "fs/watchMissing": self._watch_missing,
            "fs/writeBlock": self._write_block,
            "fs/writeFile": self._write_file,
        }

    def _submit(self, connection: Connection, request: FileRequest) -> Later:
        lane = self._lanes.get(connection) or self._make_lane(connection)
        sandboxed = not is_unconfined(request.sandbox)
        request.observed = connection.instruments.work(
            SpanName.FILE_OPERATION, {"method": request.op, "sandboxed": sandboxed}
        )
        later = Later()
        lane.submit(request, _FileAnswer(later, connection.peer))
        return later

    def _make_lane(self, connection: Connection) -> FileLane:
        lane = self._lanes[connection] = FileLane(self._of_session(connection))
        connection.when_lost(lambda: self._lanes.pop(connection).close())
        return lane

    def _of_session(self, connection: Connection) -> SessionWorkers:
        session = connection.attached_session
        workers = self._sessions.get(session)
        if workers is None:
            workers = self._sessions[session] = SessionWorkers(self._workers)
            session.when_expired(lambda: self._sessions.pop(session).drop())
        return workers

    # ------------------------------------------------------------------ methods

    def _plain(self, op: str) -> Callable[[Connection, Any], Later]:
        paths, flags = _PATHS[op], _FLAGS[op]
        if paths == _ONE_PATH and len(flags) <= 1:
            return self._plainest(op, flags[0] if flags else None)

        def handle(connection: Connection, params: Any) -> Later:
            members = _members(params, paths, flags)
            return self._submit(connection, FileRequest(op, members, params.sandbox))

        return handle

    def _plainest(
        self, op: str, flag: tuple[str, bytes] | None
    ) -> Callable[[Connection, Any], Later]:
        """The same for what is asked most: one path, and a flag that is mostly left out."""

        def handle(connection: Connection, params: Any) -> Later:
            members = b'"path":%b' % _text(str(params.path))
            if flag is not None and (value := getattr(params, flag[0])) is not None:
                members += b',"%b":%b' % (flag[1], b"true" if value else b"false")
            return self._submit(connection, FileRequest(op, members, params.sandbox))

        return handle

    def _walk(self, connection: Connection, params: FsWalkParams) -> Later:
        members = b'"path":%b,"options":%b' % (
            _text(str(params.path)),
            _walk_options(params.options),
        )
        return self._submit(connection, FileRequest("fs/walk", members, params.sandbox))

    def _write_file(self, connection: Connection, params: FsWriteFileParams) -> Later:
        members = _members(params, _ONE_PATH, _FLAGS["fs/writeFile"])
        # Not decoded here: the worker finds out whether it is base64 before it opens the file.
        bulk = connection.payload or Payload([memoryview(params.data_base64.encode())])
        return self._submit(
            connection, FileRequest("fs/writeFile", members, params.sandbox, bulk=bulk)
        )

    def _open(self, connection: Connection, params: FsOpenParams) -> Later:
        handle_id = params.handle_id
        request = FileRequest(
            "fs/open",
            b'"path":%b,"mode":"%b"' % (_text(str(params.path)), params.mode.encode()),
            params.sandbox,
            handle_id=handle_id,
            writes=params.mode != "read",
            own_result=b'{"handleId":%b}' % _text(handle_id),
        )
        return self._submit(connection, request)

    def _read_block(self, connection: Connection, params: FsReadBlockParams) -> Later:
        check_handle_id(params.handle_id)
        if not 1 <= params.len <= FILE_BLOCK_MAX_BYTES:
            raise InvalidRequestError(
                f"file read block length must be between 1 and {FILE_BLOCK_MAX_BYTES}"
            )
        members = b'"offset":%d,"len":%d' % (params.offset, params.len)
        return self._submit(
            connection,
            FileRequest(
                "fs/readBlock",
                members,
                handle_id=params.handle_id,
                offset=params.offset,
                limit_bytes=params.len,
            ),
        )

    def _write_block(self, connection: Connection, params: FsWriteBlockParams) -> Later:
        if connection.payload is not None:
            raise InvalidRequestError(
                f"file write block length must be at most {FILE_BLOCK_MAX_BYTES}"
            )
        request = FileRequest(
            "fs/writeBlock",
            b'"offset":%d' % params.offset,
            bulk=Payload([memoryview(pybase64.b64encode(params.chunk))]),
            handle_id=params.handle_id,
        )
        return self._submit(connection, request)

    def _close(self, connection: Connection, params: FsCloseParams) -> Later:
        return self._submit(connection, FileRequest("fs/close", b"", handle_id=params.handle_id))

    def _watch_missing(self, connection: Connection, params: FsWatchMissingParams) -> bytes:
        for path in params.missing if params.present is None else [*params.missing, params.present]:
            _check_native(path)
        watches = self._watches.get(connection) or self._make_watches(connection)
        watching = watches.add(params.watch_id, params.missing, params.present)
        return b'{"watching":true}' if watching else b'{"watching":false}'

    def _make_watches(self, connection: Connection) -> MissingWatches:
        def notify(watch_id: int) -> None:
            params = b'{"watchId":%d}' % watch_id
            connection.peer.send(encode_notification("fs/missingChanged", params))

        watches = MissingWatches(self._of_session(connection), notify)
        self._watches[connection] = watches
        connection.when_lost(lambda: self._watches.pop(connection).close())
        return watches


def _check_native(path: PathUri) -> None:
    try:
        path.to_native()
    except InvalidPathError as error:
        raise InvalidRequestError(str(error)) from error


def _text(text: str) -> bytes:
    return encode_basestring_ascii(text).encode("ascii")


def _walk_options(options: WalkOptions) -> bytes:
    return encode_json(
        {
            "maxDepth": options.max_depth,
            "maxDirectories": options.max_directories,
            "maxEntries": options.max_entries,
            "followDirectorySymlinks": options.follow_directory_symlinks,
            "pruneHiddenDirectories": options.prune_hidden_directories,
        }
    )


def _members(
    params: Any, paths: tuple[tuple[str, bytes], ...], flags: tuple[tuple[str, bytes], ...]
) -> bytes:
    """Return the members of a JSON object for a worker."""
    members = [b'"%b":%b' % (name, _text(str(getattr(params, field)))) for field, name in paths]
    for field, name in flags:
        value = getattr(params, field)
        if value is not None:
            members.append(b'"%b":%b' % (name, b"true" if value else b"false"))
    return b",".join(members)
