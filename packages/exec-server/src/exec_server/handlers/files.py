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

from ..files.handles import check_handle_id
from ..files.lane import FileLane
from ..files.request import FileRequest
from ..files.watch import MissingWatches
from ..runtime.direct_future import ALREADY_SENT, DirectFuture
from ..runtime.payload import Payload
from ..telemetry.names import SpanName
from ..workers.workers import FileWorkers, SessionWorkers, is_unconfined

if TYPE_CHECKING:
    from exec_server_protocol.attributes import FsCreateSymlinkParams
    from exec_server_protocol.filesystem import (
        FsCloseParams,
        FsGetMetadataParams,
        FsOpenParams,
        FsReadBlockParams,
        FsWalkParams,
        FsWatchMissingParams,
        FsWriteBlockParams,
        FsWriteFileParams,
        WalkOptions,
    )

    from ..rpc.connection import Connection, Handler
    from ..runtime.peer import Peer
    from ..session.session import Session

__all__ = ["FileMethods"]

_ONE_PATH: Final = (("path", b"path"),)

_PATHS: Final[Mapping[str, tuple[tuple[str, bytes], ...]]] = {
    "fs/canonicalize": _ONE_PATH,
    "fs/copy": (("source_path", b"sourcePath"), ("destination_path", b"destinationPath")),
    "fs/createDirectory": _ONE_PATH,
    "fs/move": (("source_path", b"sourcePath"), ("destination_path", b"destinationPath")),
    "fs/readDirectory": _ONE_PATH,
    "fs/readFile": _ONE_PATH,
    "fs/readLink": _ONE_PATH,
    "fs/remove": _ONE_PATH,
    "fs/setMetadata": _ONE_PATH,
}
"""Operations without anything special: their members that are paths."""

_OPTIONS: Final[Mapping[str, tuple[tuple[str, bytes], ...]]] = {
    "fs/canonicalize": (),
    "fs/copy": (
        ("recursive", b"recursive"),
        ("atomic", b"atomic"),
        ("follow_symlinks", b"followSymlinks"),
        ("list_skipped", b"listSkipped"),
    ),
    "fs/createDirectory": (
        ("recursive", b"recursive"),
        ("follow_symlinks", b"followSymlinks"),
        ("create_mode", b"createMode"),
    ),
    "fs/getMetadata": (("follow_symlinks", b"followSymlinks"),),
    "fs/move": (
        ("overwrite", b"overwrite"),
        ("keep_attributes", b"keepAttributes"),
        ("create_mode", b"createMode"),
        ("file_mode", b"fileMode"),
        ("modified_at_ms", b"modifiedAtMs"),
    ),
    "fs/readDirectory": (("details", b"details"),),
    "fs/readFile": (("follow_symlinks", b"followSymlinks"),),
    "fs/readLink": (),
    "fs/remove": (
        ("recursive", b"recursive"),
        ("force", b"force"),
        ("follow_symlinks", b"followSymlinks"),
    ),
    "fs/setMetadata": (
        ("follow_symlinks", b"followSymlinks"),
        ("file_mode", b"fileMode"),
        ("modified_at_ms", b"modifiedAtMs"),
        ("accessed_at_ms", b"accessedAtMs"),
        ("now", b"now"),
    ),
    "fs/writeFile": (
        ("follow_symlinks", b"followSymlinks"),
        ("atomic", b"atomic"),
        ("exclusive", b"exclusive"),
        ("create_mode", b"createMode"),
        ("file_mode", b"fileMode"),
        ("modified_at_ms", b"modifiedAtMs"),
        ("flush", b"flush"),
    ),
}
"""Their members that are true, false or a number; ``None`` is left out."""


class _FileAnswer:
    """The way back of one request; see ``filesystem.request.Answer``."""

    __slots__ = ("_begun", "_later", "_peer")

    def __init__(self, later: DirectFuture, peer: Peer) -> None:
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
        self._later.set_result(ALREADY_SENT)

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
            "fs/createSymlink": self._create_symlink,
            "fs/getMetadata": self._get_metadata,
            "fs/open": self._open,
            "fs/readBlock": self._read_block,
            "fs/walk": self._walk,
            "fs/watchMissing": self._watch_missing,
            "fs/writeBlock": self._write_block,
            "fs/writeFile": self._write_file,
        }

    def _submit(self, connection: Connection, request: FileRequest) -> DirectFuture:
        lane = self._lanes.get(connection) or self._make_lane(connection)
        sandboxed = not is_unconfined(request.sandbox)
        request.observed = connection.instruments.work(
            SpanName.FILE_OPERATION, {"method": request.op, "sandboxed": sandboxed}
        )
        later = DirectFuture()
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

    def _plain(self, op: str) -> Callable[[Connection, Any], DirectFuture]:
        paths, options = _PATHS[op], _OPTIONS[op]
        if paths == _ONE_PATH and len(options) <= 1:
            return self._plainest(op, options[0] if options else None)

        def handle(connection: Connection, params: Any) -> DirectFuture:
            members = _members(params, paths, options)
            return self._submit(connection, FileRequest(op, members, params.sandbox))

        return handle

    def _plainest(
        self, op: str, flag: tuple[str, bytes] | None
    ) -> Callable[[Connection, Any], DirectFuture]:
        """The same for what is asked most: one path, and a flag that is mostly left out."""

        def handle(connection: Connection, params: Any) -> DirectFuture:
            members = _path(params)
            if flag is not None and (value := getattr(params, flag[0])) is not None:
                members += _option(flag[1], value)
            return self._submit(connection, FileRequest(op, members, params.sandbox))

        return handle

    def _get_metadata(self, connection: Connection, params: FsGetMetadataParams) -> DirectFuture:
        members = _path(params)
        if params.follow_symlinks is not None:
            members += _option(b"followSymlinks", params.follow_symlinks)
        if params.details is not None:
            members += b',"details":"%b"' % params.details.encode()
        return self._submit(connection, FileRequest("fs/getMetadata", members, params.sandbox))

    def _create_symlink(
        self, connection: Connection, params: FsCreateSymlinkParams
    ) -> DirectFuture:
        members = b'%b,"targetBase64":"%b"%b' % (
            _path(params),
            pybase64.b64encode(params.target_base64),
            _option(b"overwrite", params.overwrite),
        )
        return self._submit(connection, FileRequest("fs/createSymlink", members, params.sandbox))

    def _walk(self, connection: Connection, params: FsWalkParams) -> DirectFuture:
        members = b'%b,"options":%b' % (_path(params), _walk_options(params.options))
        return self._submit(connection, FileRequest("fs/walk", members, params.sandbox))

    def _write_file(self, connection: Connection, params: FsWriteFileParams) -> DirectFuture:
        members = _members(params, _ONE_PATH, _OPTIONS["fs/writeFile"])
        # Not decoded here: the worker finds out whether it is base64 before it opens the file.
        bulk = connection.payload or Payload([memoryview(params.data_base64.encode())])
        return self._submit(
            connection, FileRequest("fs/writeFile", members, params.sandbox, bulk=bulk)
        )

    def _open(self, connection: Connection, params: FsOpenParams) -> DirectFuture:
        handle_id = params.handle_id
        members = b'%b,"mode":"%b"' % (_path(params), params.mode.encode())
        if params.create_mode is not None:
            members += _option(b"createMode", params.create_mode)
        if params.lock is not None:
            members += _option(b"lock", params.lock)
        request = FileRequest(
            "fs/open",
            members,
            params.sandbox,
            handle_id=handle_id,
            writes=params.mode != "read",
            own_result=b'{"handleId":%b}' % _text(handle_id),
        )
        return self._submit(connection, request)

    def _read_block(self, connection: Connection, params: FsReadBlockParams) -> DirectFuture:
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

    def _write_block(self, connection: Connection, params: FsWriteBlockParams) -> DirectFuture:
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

    def _close(self, connection: Connection, params: FsCloseParams) -> DirectFuture:
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


def _path(params: Any) -> bytes:
    return b'"path":%b' % _text(str(params.path))


def _option(name: bytes, value: bool | int) -> bytes:
    if isinstance(value, bool):
        return b',"%b":%b' % (name, b"true" if value else b"false")
    return b',"%b":%d' % (name, value)


def _members(
    params: Any, paths: tuple[tuple[str, bytes], ...], options: tuple[tuple[str, bytes], ...]
) -> bytes:
    """Return the members of a JSON object for a worker."""
    members = b",".join(
        b'"%b":%b' % (name, _text(str(getattr(params, field)))) for field, name in paths
    )
    for field, name in options:
        value = getattr(params, field)
        if value is not None:
            members += _option(name, value)
    return members
