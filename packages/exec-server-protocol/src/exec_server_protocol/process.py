"""``process/*``: params, results and notifications.

Members marked as *extension* are not known to the reference implementation. They are left
out of the JSON when unset, and a client sends them only to an executor that announced the
capability named beside them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field

from ._model import WireModel
from ._names import OutputPolicy, OutputStream, ProcessId, SandboxType, SignalName, StdinStatus
from ._path_uri_field import WirePathUri
from ._sandbox_field import WireSandbox
from ._scalars import Base64Bytes, ChosenName, ChosenProcessId, UnsignedInt
from .capabilities import (
    CAPABILITY_CATCH_UP,
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_LIST,
    CAPABILITY_MERGE_STDERR,
    CAPABILITY_OUTPUT_POLICY,
    CAPABILITY_RESIZE,
    CAPABILITY_SIGNALS,
    CAPABILITY_START_ERRORS,
    CAPABILITY_STREAM_OFFSETS,
    CAPABILITY_TREES,
)

__all__ = [
    "CAPABILITY_CATCH_UP",
    "CAPABILITY_CLOSE_STDIN",
    "CAPABILITY_LIST",
    "CAPABILITY_MERGE_STDERR",
    "CAPABILITY_OUTPUT_POLICY",
    "CAPABILITY_RESIZE",
    "CAPABILITY_SIGNALS",
    "CAPABILITY_START_ERRORS",
    "CAPABILITY_STREAM_OFFSETS",
    "CAPABILITY_TREES",
    "EnvironmentPolicy",
    "OutputChunk",
    "OutputPolicy",
    "OutputStream",
    "ProcessCatchUpParams",
    "ProcessCatchUpResult",
    "ProcessCloseStdinParams",
    "ProcessCloseStdinResult",
    "ProcessClosedNotification",
    "ProcessExitedNotification",
    "ProcessInfo",
    "ProcessListParams",
    "ProcessListResult",
    "ProcessMetadata",
    "ProcessOutputNotification",
    "ProcessReadParams",
    "ProcessReadResult",
    "ProcessResizeParams",
    "ProcessResizeResult",
    "ProcessSignalParams",
    "ProcessSignalResult",
    "ProcessStartParams",
    "ProcessStartResult",
    "ProcessTerminateParams",
    "ProcessTerminateResult",
    "ProcessWriteParams",
    "ProcessWriteResult",
    "SandboxType",
    "ShellSnapshot",
    "ShellSnapshotShell",
    "SignalName",
    "StdinStatus",
    "TerminalSize",
]

TerminalSize = Annotated[int, Field(ge=1, le=65535)]
"""Rows or columns: the kernel keeps 16 bits, and 0 means unknown to programs."""


GRACE_MAX_MS: Final = 3_600_000
"""An hour: a program that has more to do when it is told to end needs a better way to be told."""
GraceMs = Annotated[int, Field(ge=0, le=GRACE_MAX_MS)]


def _extension() -> Any:
    """Return the default of a member that is left out when unset."""
    return Field(default=None, exclude_if=lambda value: value is None)


class EnvironmentPolicy(WireModel):
    """Choice of the executor's own environment variables that a child inherits.

    Applied in the order of: ``inherit``; the default excludes ``*KEY*``, ``*SECRET*`` and
    ``*TOKEN*`` unless ``ignore_default_excludes``; ``exclude``; ``set``; ``include_only``.
    Patterns know ``*`` and ``?`` only and ignore case.
    """

    inherit: Literal["core", "all", "none"]
    ignore_default_excludes: bool
    exclude: list[str]
    set: dict[str, str]
    """Added after the excludes; ``include_only`` still applies to it."""
    include_only: list[str]
    """When not empty, nothing else remains."""


class ProcessMetadata(WireModel):
    """Origin of the request for a process. For logs; never interpreted."""

    thread_id: Annotated[UUID, Field(strict=False)] | None = None
    tool_call_id: str | None = None


class ShellSnapshotShell(WireModel):
    """The shell that a snapshot is taken of."""

    name: str
    path: str


class ShellSnapshot(WireModel):
    """A request to reuse shell start-up state. Executors may ignore it."""

    scope_id: str
    shell: ShellSnapshotShell


class ProcessStartParams(WireModel):
    """Starts a process. The order of the members is that of the wire's positional form."""

    process_id: ChosenProcessId
    metadata: ProcessMetadata | None = None
    argv: list[str]
    """The program and its arguments; not empty."""
    cwd: WirePathUri
    env_policy: EnvironmentPolicy | None = None
    """What to take from the executor's environment; ``None`` takes nothing."""
    shell_snapshot: ShellSnapshot | None = None
    env: dict[str, str]
    """Laid over what the policy gives. Without a policy, the exact environment."""
    tty: bool
    """A terminal instead of pipes; all output is then one stream, ``pty``."""
    pipe_stdin: bool = False
    """Connect stdin to ``process/write``. Otherwise it is ``/dev/null``. A terminal's is always."""
    arg0: str | None = None
    """What the program sees as ``argv[0]``."""
    sandbox: WireSandbox | None = None
    enforce_managed_network: bool = False
    managed_network: dict[str, Any] | None = None
    network_proxy: dict[str, Any] | None = None
    rows: TerminalSize | None = _extension()
    """Height of the terminal, 24 when unset. Extension: ``processResize``."""
    cols: TerminalSize | None = _extension()
    """Width of the terminal, 80 when unset. Extension: ``processResize``."""
    output_policy: OutputPolicy | None = _extension()
    """What happens when nobody is attached and all that may be kept is kept: the oldest output
    is dropped (also when unset), or the process has to wait. Extension:
    ``processOutputPolicy``."""
    merge_stderr: bool | None = _extension()
    """Without a terminal: stderr is the same pipe as stdout, so that both come as ``stdout``, in
    the order in which they were written. Extension: ``processMergeStderr``."""
    details: bool | None = _extension()
    """Tell more of this process: ``pid`` of the answer, ``signal`` of its exit, and
    ``process/streamEnded``. Extension: ``processDetails``."""
    start_errors: bool | None = _extension()
    """Refuse a program that is missing or not executable in a sandbox as well, instead of letting
    it end with 101; one that only the sandbox does not let be executed ends with 126. Extension:
    ``processStartErrors``."""


class ProcessStartResult(WireModel):
    """The process is running."""

    process_id: ProcessId
    sandbox_type: SandboxType = "none"
    pid: UnsignedInt | None = _extension()
    """Its number there, or that of what confines it. Extension: ``processDetails``, when asked
    for."""


class ProcessReadParams(WireModel):
    """Asks for retained output after a cursor, and waits for some if ``waitMs`` says so."""

    process_id: ChosenProcessId
    after_seq: UnsignedInt | None = None
    """Last sequence number already seen; ``None`` and 0 mean none."""
    max_bytes: UnsignedInt | None = None
    """Budget of payload before base64. The first chunk is always returned whole."""
    wait_ms: UnsignedInt | None = None
    """How long to wait when there is nothing to return yet, in milliseconds."""
    stream_offsets: bool | None = _extension()
    """Ask for ``stream_offsets`` and ``exit_seq``. Extension: ``processStreamOffsets``."""


class OutputChunk(WireModel):
    """Bytes that a child wrote, as they were read."""

    seq: UnsignedInt
    stream: OutputStream
    chunk: Base64Bytes


class ProcessReadResult(WireModel):
    """Retained output and the state of the process.

    Output that was evicted is not an error and not flagged: the first ``seq`` is then
    greater than ``after_seq + 1``.
    """

    chunks: list[OutputChunk]
    next_seq: UnsignedInt
    """With ``max_bytes`` and at least one chunk: the last chunk's ``seq`` + 1. Otherwise the
    next unused number of the process, exit and close events included."""
    exited: bool
    exit_code: int | None = None
    closed: bool
    failure: str | None = None
    sandbox_denied: bool = False
    stream_offsets: dict[OutputStream, UnsignedInt] | None = _extension()
    """How many bytes the process had written to each stream before ``chunks[0]``, or before
    ``next_seq`` where there is no chunk. Who knows how many it has knows how many it has lost.
    Extension: ``processStreamOffsets``, when asked for."""
    exit_seq: UnsignedInt | None = _extension()
    """The number of the exit event, once there is one. Extension: as above."""
    signal: UnsignedInt | None = _extension()
    """As in ``ProcessExitedNotification``."""
    stream_ends: dict[OutputStream, UnsignedInt] | None = _extension()
    """As in ``ProcessCatchUpResult``."""


class ProcessCatchUpParams(WireModel):
    """Asks for the next page of what was missed, on a connection that resumed with ``catchUp``.

    Extension: ``processCatchUp``.
    """

    process_id: ChosenProcessId
    after_seq: UnsignedInt
    """The client has everything up to this number; the executor may drop it."""
    max_bytes: UnsignedInt
    """Budget of the page: payload, and 256 bytes for each piece. The first piece is always
    returned whole. With 0 there is none, only the state."""


class ProcessCatchUpResult(WireModel):
    """A page: every event with a number above ``after_seq`` and below ``next_seq``.

    Its numbers are those of the chunks, ``exit_seq``, and ``next_seq - 1`` for the close if
    ``closed`` and ``live``. What has none of these is not kept any more.
    """

    chunks: list[OutputChunk]
    next_seq: UnsignedInt
    output_bytes: UnsignedInt
    """Output of the process so far, missed or not."""
    stream_offsets: dict[OutputStream, UnsignedInt] | None = None
    """How many bytes it had written to each stream before ``chunks[0]``; without a chunk, until
    now if ``live``, else ``None``. Who knows how many it has knows how many it has lost."""
    exit_seq: UnsignedInt | None = None
    """Number of the exit; ``None`` while it runs. It may lie outside the page."""
    exit_code: int | None = None
    closed: bool = False
    """Whether the process is closed by now."""
    sandbox_denied: bool = False
    live: bool = False
    """The page reaches up to now: later events come as notifications."""
    signal: UnsignedInt | None = _extension()
    """As in ``ProcessExitedNotification``."""
    stream_ends: dict[OutputStream, UnsignedInt] | None = _extension()
    """Streams that have ended by now, and ``last_seq`` of each, as in
    ``ProcessStreamEndedNotification``. Extension: ``processDetails``, when asked for."""


class ProcessWriteParams(WireModel):
    """Writes to stdin, at most once for each ``write_id``."""

    process_id: ChosenProcessId
    chunk: Base64Bytes
    write_id: ChosenName
    """Not empty. A repeated id is answered ``accepted`` and its bytes are dropped."""


class ProcessWriteResult(WireModel):
    """``accepted`` means queued, not written."""

    status: StdinStatus


class ProcessCloseStdinParams(WireModel):
    """Ends stdin after everything written so far. Extension: ``processCloseStdin``."""

    process_id: ChosenProcessId


class ProcessCloseStdinResult(WireModel):
    """Status as of ``process/write``; ``accepted`` also when closed before."""

    status: StdinStatus


class ProcessResizeParams(WireModel):
    """Changes the size of a terminal; its foreground group gets SIGWINCH.

    Extension: ``processResize``.
    """

    process_id: ChosenProcessId
    rows: TerminalSize
    cols: TerminalSize


class ProcessResizeResult(WireModel):
    """The terminal has the new size."""


class ProcessSignalParams(WireModel):
    """Sends a signal to the process group, or to a terminal's foreground group."""

    process_id: ChosenProcessId
    signal: SignalName


class ProcessSignalResult(WireModel):
    """Sent, or there was nobody left to send it to."""


class ProcessTerminateParams(WireModel):
    """Kills a process and its whole tree."""

    process_id: ChosenProcessId
    grace_ms: GraceMs | None = _extension()
    """The tree gets SIGTERM now and is killed after so many milliseconds; absent or 0: at once.
    Extension: ``processTrees``."""


class ProcessTerminateResult(WireModel):
    """Note whether there was something to kill."""

    running: bool


class ProcessListParams(WireModel):
    """Lists the processes of the session. Extension: ``processList``."""


class ProcessInfo(WireModel):
    """One process of a session."""

    process_id: ProcessId
    argv0: str
    """First element of ``argv`` as requested, up to 1,024 characters; the rest may hold secrets."""
    state: Literal["starting", "running", "exited", "closed"]
    tty: bool
    exit_code: int | None = None
    started_at_ms: UnsignedInt
    """Wall clock of the executor, in milliseconds since 1970."""
    retained_bytes: UnsignedInt
    next_seq: UnsignedInt


class ProcessListResult(WireModel):
    """The processes of the session, in the order of their start."""

    processes: list[ProcessInfo]


class ProcessOutputNotification(WireModel):
    """A child wrote something."""

    process_id: ProcessId
    seq: UnsignedInt
    stream: OutputStream
    chunk: Base64Bytes


class ProcessExitedNotification(WireModel):
    """The main process has ended. Output may still follow."""

    process_id: ProcessId
    seq: UnsignedInt
    exit_code: int
    """0 to 255, or 128 + N for signal N."""
    sandbox_denied: bool = False
    signal: UnsignedInt | None = _extension()
    """The signal that ended it, if one did; unknown for some commands in a sandbox.
    Extension: ``processDetails``, when asked for."""


class ProcessClosedNotification(WireModel):
    """The process has ended and its output is complete: the last event, the highest number."""

    process_id: ProcessId
    seq: UnsignedInt
