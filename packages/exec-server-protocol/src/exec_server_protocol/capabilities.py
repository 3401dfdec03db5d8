"""Capabilities: the flags by which an executor announces what is optional. Light: no pydantic.

A flag of ours stands here and nowhere else: servers announce all of ``EXTENSIONS``.
"""

from __future__ import annotations

from typing import Final

CAPABILITY_ATOMIC_WRITE: Final = "fsAtomicWrite"
"""``atomic`` of ``fs/writeFile``."""
CAPABILITY_CATCH_UP: Final = "processCatchUp"
"""``process/catchUp``, and ``catchUp`` of ``initialize``."""
CAPABILITY_CLOSE_STDIN: Final = "processCloseStdin"
"""``process/closeStdin``."""
CAPABILITY_CREATE_APPEND: Final = "fsCreateAppend"
"""``exclusive`` of ``fs/writeFile``; ``create``, ``extend`` and ``modify`` as modes of ``fs/open``,
and its ``lock``."""
CAPABILITY_DETAILS: Final = "processDetails"
"""``details`` of ``process/start``, and ``process/streamEnded``."""
CAPABILITY_FILE_MODES: Final = "fsFileModes"
"""``fs/setMetadata``; ``details`` of ``fs/getMetadata``; ``createMode``, ``fileMode`` and
``modifiedAtMs`` wherever they are; ``keepAttributes`` of ``fs/move``; ``atomic`` of ``fs/copy``;
``flush`` of ``fs/writeFile``."""
CAPABILITY_FILE_WRITE_STREAMING: Final = "fileWriteStreaming"
"""``fs/writeBlock``. Not an extension; older executors only read in blocks."""
CAPABILITY_HTTP_CANCEL: Final = "httpRequestCancel"
"""``http/request/cancel``."""
CAPABILITY_HTTP_CREDIT: Final = "httpStreamCredit"
"""``streamCredit`` of ``http/request``, and ``http/request/credit``."""
CAPABILITY_LINKS: Final = "fsLinks"
"""``fs/createSymlink`` and ``fs/readLink``; ``details`` of ``fs/readDirectory``; ``listSkipped``
and ``followSymlinks`` of ``fs/copy``."""
CAPABILITY_LIST: Final = "processList"
"""``process/list``."""
CAPABILITY_MERGE_STDERR: Final = "processMergeStderr"
"""``mergeStderr`` of ``process/start``."""
CAPABILITY_MOVE: Final = "fsMove"
"""``fs/move``."""
CAPABILITY_OPEN_UPDATE: Final = "fsOpenUpdate"
"""``update`` as the mode of ``fs/open``."""
CAPABILITY_OUTPUT_POLICY: Final = "processOutputPolicy"
"""``outputPolicy`` of ``process/start``."""
CAPABILITY_RESIZE: Final = "processResize"
"""``process/resize``, and ``rows`` and ``cols`` of ``process/start``."""
CAPABILITY_SANDBOXED_FILE_STREAMING: Final = "sandboxedFileStreaming"
"""``fs/open`` with a ``sandbox``. Not an extension; older executors refuse it."""
CAPABILITY_SIGNALS: Final = "processSignals"
"""Every signal name but ``interrupt``, and delivery to the foreground group of a terminal."""
CAPABILITY_START_ERRORS: Final = "processStartErrors"
"""``startErrors`` of ``process/start``, and ``data`` of its errors."""
CAPABILITY_STREAM_OFFSETS: Final = "processStreamOffsets"
"""``streamOffsets`` of ``process/read``."""
CAPABILITY_TREES: Final = "processTrees"
"""``process/terminate`` ends the whole tree of a process, and takes ``graceMs``."""
CAPABILITY_UPTIME: Final = "environmentUptime"
"""``environment/uptime``."""
CAPABILITY_WATCH_MISSING: Final = "fsWatchMissing"
"""``fs/watchMissing`` and ``fs/missingChanged``. Not an extension."""

REFERENCE: Final = (
    "networkProxyLaunch",
    "networkProxyReviewDomains",
    "credentialMasking",
    "credentialMaskingCustomProviders",
    "capabilityDiscoverySandbox",
    CAPABILITY_WATCH_MISSING,
    "capabilityDiscoveryV2",
    "environmentConfigRead",
    "httpHeaderEnvVars",
    CAPABILITY_SANDBOXED_FILE_STREAMING,
    CAPABILITY_FILE_WRITE_STREAMING,
    "shellSnapshotV2",
    "windowsMxc",
    "linuxRootWritePreservesDevices",
    "linuxApprovedRootWritePreservesRestrictions",
)
"""The flags that the reference implementation announces, true or false, in its order."""

_NAMED: Final = {name: flag for name, flag in globals().items() if name.startswith("CAPABILITY_")}

EXTENSIONS: Final = tuple(sorted({*_NAMED.values()} - {*REFERENCE}))
"""The flags of ours."""

TREES_BY_GROUP: Final = "processTreesByGroup"
"""The server and all that it starts are in a control group, which is killed with it."""
TREES_SUPERVISED: Final = "processTreesSupervised"
"""Above the server is a supervisor, which ends all that a killed server leaves behind."""

__all__ = [*_NAMED, "EXTENSIONS", "REFERENCE", "TREES_BY_GROUP", "TREES_SUPERVISED"]
