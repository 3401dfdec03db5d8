"""The method registry: one table for both sides, the schema export and the gates.

A row says what a method's params and result are, who sends it, when it may come, what it belongs
to, which capability announces it, and whether repeating it is harmless. The server's announced
capabilities, the client's refusals and repetitions and the check for handlers are read off here.
Models are imported when a method is first used, so that importing the table is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ._method import Allowed, Direction, Family, Method
from .capabilities import (
    CAPABILITY_CATCH_UP,
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_DETAILS,
    CAPABILITY_FILE_MODES,
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_HTTP_CANCEL,
    CAPABILITY_HTTP_CREDIT,
    CAPABILITY_LINKS,
    CAPABILITY_LIST,
    CAPABILITY_MOVE,
    CAPABILITY_RESIZE,
    CAPABILITY_UPTIME,
    CAPABILITY_WATCH_MISSING,
)

if TYPE_CHECKING:
    from . import attributes, filesystem, handshake, http, process, process_details

__all__ = [
    "ENVIRONMENT_INFO",
    "ENVIRONMENT_STATUS",
    "ENVIRONMENT_UPTIME",
    "FS_CANONICALIZE",
    "FS_CLOSE",
    "FS_COPY",
    "FS_CREATE_DIRECTORY",
    "FS_CREATE_SYMLINK",
    "FS_GET_METADATA",
    "FS_MISSING_CHANGED",
    "FS_MOVE",
    "FS_OPEN",
    "FS_READ_BLOCK",
    "FS_READ_DIRECTORY",
    "FS_READ_FILE",
    "FS_READ_LINK",
    "FS_REMOVE",
    "FS_SET_METADATA",
    "FS_WALK",
    "FS_WATCH_MISSING",
    "FS_WRITE_BLOCK",
    "FS_WRITE_FILE",
    "HTTP_REQUEST",
    "HTTP_REQUEST_BODY_DELTA",
    "HTTP_REQUEST_CANCEL",
    "HTTP_REQUEST_CREDIT",
    "INITIALIZE",
    "INITIALIZED",
    "METHODS",
    "NOTIFICATIONS",
    "PROCESS_CATCH_UP",
    "PROCESS_CLOSED",
    "PROCESS_CLOSE_STDIN",
    "PROCESS_EXITED",
    "PROCESS_LIST",
    "PROCESS_OUTPUT",
    "PROCESS_READ",
    "PROCESS_RESIZE",
    "PROCESS_SIGNAL",
    "PROCESS_START",
    "PROCESS_STREAM_ENDED",
    "PROCESS_TERMINATE",
    "PROCESS_WRITE",
    "REQUESTS",
    "Allowed",
    "Direction",
    "Family",
    "Method",
]


_MODULES: Final[Mapping[Family, str]] = {
    "handshake": "handshake",
    "environment info": "handshake",
    "environment status": "handshake",
    "exec": "process",
    "filesystem": "filesystem",
    "http": "http",
}
"""Where the models of a family are, unless its row says otherwise."""


def _stem(name: str) -> str:
    """Return how the models of a method are called: ``FsMove`` for ``fs/move``."""
    return "".join(part[0].upper() + part[1:] for part in name.split("/"))


def _request(
    name: str,
    family: Family,
    *,
    module: str | None = None,
    result_name: str | None = None,
    allowed: Allowed = Allowed.AFTER_INITIALIZED,
    capability: str | None = None,
    repeatable: bool = False,
    takes_no_params: bool = False,
) -> Method[Any, Any]:
    return Method(
        name,
        "request",
        Direction.CLIENT_TO_SERVER,
        family,
        allowed,
        module or _MODULES[family],
        f"{_stem(name)}Params",
        result_name or f"{_stem(name)}Result",
        capability,
        repeatable,
        takes_no_params,
    )


def _event(
    name: str,
    family: Family,
    *,
    stem: str | None = None,
    module: str | None = None,
    direction: Direction = Direction.SERVER_TO_CLIENT,
    capability: str | None = None,
) -> Method[Any, None]:
    return Method(
        name,
        "notification",
        direction,
        family,
        Allowed.AFTER_INITIALIZE,
        module or _MODULES[family],
        f"{stem or _stem(name)}Notification",
        None,
        capability,
    )


INITIALIZE: Final[Method[handshake.InitializeParams, handshake.InitializeResult]] = _request(
    "initialize", "handshake", allowed=Allowed.BEFORE_INITIALIZE
)
INITIALIZED: Final[Method[handshake.InitializedNotification, None]] = _event(
    "initialized", "handshake", direction=Direction.CLIENT_TO_SERVER
)
ENVIRONMENT_INFO: Final[Method[handshake.EnvironmentInfoParams, handshake.EnvironmentInfo]] = (
    _request(
        "environment/info",
        "environment info",
        result_name="EnvironmentInfo",
        repeatable=True,
        takes_no_params=True,
    )
)
ENVIRONMENT_STATUS: Final[
    Method[handshake.EnvironmentStatusParams, handshake.EnvironmentStatusResult]
] = _request("environment/status", "environment status", repeatable=True, takes_no_params=True)
ENVIRONMENT_UPTIME: Final[
    Method[handshake.EnvironmentUptimeParams, handshake.EnvironmentUptimeResult]
] = _request(
    "environment/uptime",
    "environment status",
    capability=CAPABILITY_UPTIME,
    repeatable=True,
    takes_no_params=True,
)
PROCESS_START: Final[Method[process.ProcessStartParams, process.ProcessStartResult]] = _request(
    "process/start", "exec"
)
PROCESS_READ: Final[Method[process.ProcessReadParams, process.ProcessReadResult]] = _request(
    "process/read", "exec", repeatable=True
)
PROCESS_CATCH_UP: Final[Method[process.ProcessCatchUpParams, process.ProcessCatchUpResult]] = (
    _request("process/catchUp", "exec", capability=CAPABILITY_CATCH_UP)
)
PROCESS_WRITE: Final[Method[process.ProcessWriteParams, process.ProcessWriteResult]] = _request(
    "process/write", "exec"
)
PROCESS_CLOSE_STDIN: Final[
    Method[process.ProcessCloseStdinParams, process.ProcessCloseStdinResult]
] = _request("process/closeStdin", "exec", capability=CAPABILITY_CLOSE_STDIN, repeatable=True)
PROCESS_RESIZE: Final[Method[process.ProcessResizeParams, process.ProcessResizeResult]] = _request(
    "process/resize", "exec", capability=CAPABILITY_RESIZE, repeatable=True
)
PROCESS_SIGNAL: Final[Method[process.ProcessSignalParams, process.ProcessSignalResult]] = _request(
    "process/signal", "exec"
)
PROCESS_TERMINATE: Final[Method[process.ProcessTerminateParams, process.ProcessTerminateResult]] = (
    _request("process/terminate", "exec")
)
PROCESS_LIST: Final[Method[process.ProcessListParams, process.ProcessListResult]] = _request(
    "process/list", "exec", capability=CAPABILITY_LIST, repeatable=True, takes_no_params=True
)
PROCESS_OUTPUT: Final[Method[process.ProcessOutputNotification, None]] = _event(
    "process/output", "exec"
)
PROCESS_EXITED: Final[Method[process.ProcessExitedNotification, None]] = _event(
    "process/exited", "exec"
)
PROCESS_CLOSED: Final[Method[process.ProcessClosedNotification, None]] = _event(
    "process/closed", "exec"
)
PROCESS_STREAM_ENDED: Final[Method[process_details.ProcessStreamEndedNotification, None]] = _event(
    "process/streamEnded", "exec", module="process_details", capability=CAPABILITY_DETAILS
)
FS_READ_FILE: Final[Method[filesystem.FsReadFileParams, filesystem.FsReadFileResult]] = _request(
    "fs/readFile", "filesystem", repeatable=True
)
FS_WRITE_FILE: Final[Method[filesystem.FsWriteFileParams, filesystem.FsWriteFileResult]] = _request(
    "fs/writeFile", "filesystem"
)
FS_CREATE_DIRECTORY: Final[
    Method[filesystem.FsCreateDirectoryParams, filesystem.FsCreateDirectoryResult]
] = _request("fs/createDirectory", "filesystem")
FS_GET_METADATA: Final[Method[filesystem.FsGetMetadataParams, filesystem.FsGetMetadataResult]] = (
    _request("fs/getMetadata", "filesystem", repeatable=True)
)
FS_CANONICALIZE: Final[Method[filesystem.FsCanonicalizeParams, filesystem.FsCanonicalizeResult]] = (
    _request("fs/canonicalize", "filesystem", repeatable=True)
)
FS_READ_DIRECTORY: Final[
    Method[filesystem.FsReadDirectoryParams, filesystem.FsReadDirectoryResult]
] = _request("fs/readDirectory", "filesystem", repeatable=True)
FS_WALK: Final[Method[filesystem.FsWalkParams, filesystem.FsWalkResult]] = _request(
    "fs/walk", "filesystem", repeatable=True
)
FS_REMOVE: Final[Method[filesystem.FsRemoveParams, filesystem.FsRemoveResult]] = _request(
    "fs/remove", "filesystem"
)
FS_COPY: Final[Method[filesystem.FsCopyParams, filesystem.FsCopyResult]] = _request(
    "fs/copy", "filesystem"
)
FS_MOVE: Final[Method[filesystem.FsMoveParams, filesystem.FsMoveResult]] = _request(
    "fs/move", "filesystem", capability=CAPABILITY_MOVE
)
FS_SET_METADATA: Final[Method[attributes.FsSetMetadataParams, attributes.FsSetMetadataResult]] = (
    _request("fs/setMetadata", "filesystem", module="attributes", capability=CAPABILITY_FILE_MODES)
)
FS_CREATE_SYMLINK: Final[
    Method[attributes.FsCreateSymlinkParams, attributes.FsCreateSymlinkResult]
] = _request("fs/createSymlink", "filesystem", module="attributes", capability=CAPABILITY_LINKS)
FS_READ_LINK: Final[Method[attributes.FsReadLinkParams, attributes.FsReadLinkResult]] = _request(
    "fs/readLink", "filesystem", module="attributes", capability=CAPABILITY_LINKS, repeatable=True
)
FS_OPEN: Final[Method[filesystem.FsOpenParams, filesystem.FsOpenResult]] = _request(
    "fs/open", "filesystem"
)
FS_READ_BLOCK: Final[Method[filesystem.FsReadBlockParams, filesystem.FsReadBlockResult]] = _request(
    "fs/readBlock", "filesystem"
)
FS_WRITE_BLOCK: Final[Method[filesystem.FsWriteBlockParams, filesystem.FsWriteBlockResult]] = (
    _request("fs/writeBlock", "filesystem", capability=CAPABILITY_FILE_WRITE_STREAMING)
)
FS_CLOSE: Final[Method[filesystem.FsCloseParams, filesystem.FsCloseResult]] = _request(
    "fs/close", "filesystem"
)
FS_WATCH_MISSING: Final[
    Method[filesystem.FsWatchMissingParams, filesystem.FsWatchMissingResult]
] = _request("fs/watchMissing", "filesystem", capability=CAPABILITY_WATCH_MISSING)
FS_MISSING_CHANGED: Final[Method[filesystem.FsMissingChangedNotification, None]] = _event(
    "fs/missingChanged", "filesystem", capability=CAPABILITY_WATCH_MISSING
)
HTTP_REQUEST: Final[Method[http.HttpRequestParams, http.HttpRequestResult]] = _request(
    "http/request", "http"
)
HTTP_REQUEST_CANCEL: Final[Method[http.HttpRequestCancelParams, http.HttpRequestCancelResult]] = (
    _request("http/request/cancel", "http", capability=CAPABILITY_HTTP_CANCEL)
)
HTTP_REQUEST_CREDIT: Final[Method[http.HttpRequestCreditParams, http.HttpRequestCreditResult]] = (
    _request("http/request/credit", "http", capability=CAPABILITY_HTTP_CREDIT)
)
HTTP_REQUEST_BODY_DELTA: Final[Method[http.HttpBodyDeltaNotification, None]] = _event(
    "http/request/bodyDelta", "http", stem="HttpBodyDelta"
)

METHODS: Final[Mapping[str, Method[Any, Any]]] = {
    row.name: row for row in tuple(globals().values()) if isinstance(row, Method)
}
"""Every method, by name."""

REQUESTS: Final[Mapping[str, Method[Any, Any]]] = {
    name: row for name, row in METHODS.items() if row.kind == "request"
}
"""The requests that a server answers, by name."""

NOTIFICATIONS: Final[Mapping[str, Method[Any, Any]]] = {
    name: row for name, row in METHODS.items() if row.kind == "notification"
}
"""The notifications of both directions, by name."""
