"""Every span and every metric, and every attribute that they may carry. Nothing else leaves.

Attributes say what kind of work was done and how it ended. Values come from closed sets or
are numbers; whatever a peer or a child made up (ids, paths, arguments, variables, output)
has no place to go. The tables of ``docs/observability.md`` are compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = [
    "DURATION_BUCKETS_SECONDS",
    "METRICS",
    "OTHER",
    "SPANS",
    "UNKNOWN_METHOD",
    "Metric",
    "MetricKind",
    "SpanName",
]

OTHER: Final = "other"
"""Stands for a value that is not in its set."""

UNKNOWN_METHOD: Final = "unknown"
"""Stands for every method that the protocol does not have."""

DURATION_BUCKETS_SECONDS: Final = (
    *(0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 12, 15, 20, 30, 60, 120),
)
"""Those of the reference server, so that one dashboard shows both."""


class MetricKind(Enum):
    """Kind of a metric: the way in which values add up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, eq=False, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: As exported.
        kind: How its values add up.
        unit: ``s``, ``By`` or nothing.
        description: One sentence.
        labels: Attribute to the values that it may have; empty for the methods of the
            protocol and ``unknown``.
    """

    name: str
    kind: MetricKind
    unit: str
    description: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


def _counter(name: str, description: str, unit: str = "", **labels: tuple[str, ...]) -> Metric:
    return Metric(f"exec_server_{name}", MetricKind.COUNTER, unit, description, labels)


def _gauge(name: str, description: str, unit: str = "", **labels: tuple[str, ...]) -> Metric:
    return Metric(f"exec_server_{name}", MetricKind.GAUGE, unit, description, labels)


def _histogram(name: str, description: str, **labels: tuple[str, ...]) -> Metric:
    return Metric(f"exec_server_{name}", MetricKind.HISTOGRAM, "s", description, labels)


_METHOD: Final = ()
_RESULT: Final = ("success", "error")
_PROCESS_RESULT: Final = ("success", "error", "terminated")
_TRANSPORT: Final = ("websocket",)
_LAUNCH: Final = ("direct", "sandboxed")

CONNECTIONS_ACTIVE: Final = _gauge(
    "connections_active", "Connections that are open.", transport=_TRANSPORT
)
CONNECTIONS: Final = _counter("connections_total", "Connections accepted.", transport=_TRANSPORT)
MALFORMED_MESSAGES: Final = _counter(
    "malformed_messages_total", "Messages that could not be read as one of the protocol."
)
SESSIONS_ACTIVE: Final = _gauge(
    "sessions_active", "Sessions that are kept.", state=("attached", "detached")
)
SESSION_EVENTS: Final = _counter(
    "session_events_total",
    "Steps in the life of sessions.",
    event=("opened", "resumed", "detached", "expired"),
)
REQUESTS: Final = _counter("requests_total", "Requests answered.", method=_METHOD, result=_RESULT)
REQUEST_DURATION: Final = _histogram(
    "request_duration_seconds",
    "From the start of a request's execution to its queued response.",
    method=_METHOD,
    result=_RESULT,
)
REQUEST_TOTAL_DURATION: Final = _histogram(
    "request_total_duration_seconds",
    "From the receipt of a request to its queued response.",
    method=_METHOD,
    result=_RESULT,
)
REQUEST_QUEUE_DURATION: Final = _histogram(
    "request_queue_duration_seconds",
    "From the receipt of a request to the start of its execution.",
    method=_METHOD,
)
QUEUE_DURATION: Final = _histogram(
    "queue_duration_seconds",
    "Waiting inside the server: for a thread or for a worker.",
    queue=("spawn", "filesystem"),
)
PROCESSES_ACTIVE: Final = _gauge("processes_active", "Processes that run.")
TREE_MEANS_VALUES: Final = ("group", "supervisor", "none")
TREE_MEANS: Final = _gauge(
    "tree_means",
    "1 for what ends processes when the server is killed, 0 for the others.",
    means=TREE_MEANS_VALUES,
)
PROCESS_STARTS: Final = _counter(
    "process_starts_total", "Attempts to start a process.", result=("success", "error", "cancelled")
)
PROCESSES_FINISHED: Final = _counter(
    "processes_finished_total",
    "Processes that have closed.",
    result=_PROCESS_RESULT,
    exit_class=("success", "failure", "signal", "terminated", "expired"),
)
PROCESS_DURATION: Final = _histogram(
    "process_duration_seconds", "From the start of a process to its close.", result=_PROCESS_RESULT
)
OUTPUT_BYTES: Final = _counter(
    "output_bytes_total",
    "Bytes that processes wrote.",
    "By",
    stream=("stdout", "stderr", "pty"),
)
RETAINED_OUTPUT: Final = _gauge("retained_output_bytes", "Output that is kept in memory.", "By")
SPOOLED_OUTPUT: Final = _gauge("spooled_output_bytes", "Output that is kept on disk.", "By")
DROPPED_OUTPUT: Final = _counter(
    "dropped_output_bytes_total", "Output that was dropped before its client had it.", "By"
)
WORKER_LAUNCHES: Final = _counter(
    "worker_launches_total", "File workers that were started.", launch=_LAUNCH
)
WORKER_REUSES: Final = _counter(
    "worker_reuses_total", "File requests that found a running worker.", launch=_LAUNCH
)
SANDBOX_DENIALS: Final = _counter(
    "sandbox_denials_total",
    "Work that its sandbox policy refused.",
    operation=("process", "filesystem"),
)

METRICS: Final[Mapping[str, Metric]] = {
    value.name: value for value in tuple(globals().values()) if isinstance(value, Metric)
}
"""All of them, by name."""


class SpanName(Enum):
    """Spans other than those of requests, which are named after their method."""

    PROCESS = "exec_server.process"
    PREPARE_SANDBOX = "exec_server.sandbox.prepare"
    SPAWN = "exec_server.process.spawn"
    FILE_OPERATION = "exec_server.filesystem"
    HTTP_REQUEST = "exec_server.http_request"


SPANS: Final[Mapping[SpanName, tuple[str, ...]]] = {
    SpanName.PROCESS: ("tty", "sandboxed", "result", "exit_class", "process.exit.code"),
    SpanName.PREPARE_SANDBOX: ("operation", "result"),
    SpanName.SPAWN: ("tty", "result"),
    SpanName.FILE_OPERATION: ("method", "sandboxed", "reused", "result"),
    SpanName.HTTP_REQUEST: (
        "http.request.method",
        "url.scheme",
        "http.response.status_code",
        "error.type",
    ),
}
"""Span to the attributes that it may have."""
