"""A collector: takes traces, metrics and logs as OTLP, over HTTP or gRPC, and shows them.

Real sockets and the real messages of the package ``opentelemetry-proto``. Whatever was sent
is kept as it came too, for tests that look for what must not have been sent.
"""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

__all__ = ["Collector", "ReceivedLog", "ReceivedMetric", "ReceivedSpan"]

_WAIT_SECONDS: Final = 30.0

_MESSAGES: Final[Mapping[str, Any]] = {
    "traces": trace_pb2.ExportTraceServiceRequest,
    "metrics": metrics_pb2.ExportMetricsServiceRequest,
    "logs": logs_pb2.ExportLogsServiceRequest,
}


@dataclass(frozen=True)
class ReceivedSpan:
    """A span, with ids in hexadecimal; ``parent`` is empty for a root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    status: int
    trace_state: str


@dataclass(frozen=True)
class ReceivedMetric:
    """A metric of one export. Points are label values to a number or a histogram's count."""

    service: str
    name: str
    kind: str
    unit: str
    description: str
    points: dict[tuple[tuple[str, Any], ...], float]
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class ReceivedLog:
    """A log record."""

    service: str
    logger: str
    severity: str
    body: str
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass
class _Store:
    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: list[ReceivedMetric] = field(default_factory=list)
    logs: list[ReceivedLog] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)


class Collector:
    """Listens on a free port of the loopback address while its block lasts.

    Args:
        protocol: ``grpc`` or ``http/protobuf``.
        silent: Take connections and answer nothing, as a collector that hangs.

    Attributes:
        endpoint: For ``OTEL_EXPORTER_OTLP_ENDPOINT``.
    """

    def __init__(self, protocol: str = "http/protobuf", *, silent: bool = False) -> None:
        self.protocol = protocol
        self._silent = silent
        self._ended = threading.Event()
        self._store = _Store()
        self._changed = threading.Condition()
        self._stop = self._serve_grpc() if protocol == "grpc" else self._serve_http()

    @property
    def environ(self) -> dict[str, str]:
        """The test's environment, and what makes a program export here, soon and often."""
        return {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    # ------------------------------------------------------------------ what came

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All spans so far."""
        with self._changed:
            return list(self._store.spans)

    @property
    def metrics(self) -> list[ReceivedMetric]:
        """All metrics so far, those of each export again."""
        with self._changed:
            return list(self._store.metrics)

    @property
    def logs(self) -> list[ReceivedLog]:
        """All log records so far."""
        with self._changed:
            return list(self._store.logs)

    @property
    def raw(self) -> bytes:
        """Every byte of every message, after decompression."""
        with self._changed:
            return b"\n".join(self._store.raw)

    def latest(self, name: str, service: str | None = None) -> ReceivedMetric | None:
        """The newest export of a metric."""
        for metric in reversed(self.metrics):
            if metric.name == name and service in (None, metric.service):
                return metric
        return None

    def wait_until(self, condition: Callable[[], bool], timeout: float = _WAIT_SECONDS) -> None:
        """Wait until something holds; it is looked at again whenever something has come.

        Raises:
            TimeoutError: It never did. The text lists the spans.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    names = [(span.service, span.name) for span in self._store.spans]
                    raise TimeoutError(f"not within {timeout} s; spans: {names}")

    def span(self, name: str, **attributes: Any) -> ReceivedSpan:
        """Wait for the first span of this name with these attributes."""

        def matching() -> list[ReceivedSpan]:
            return [
                span
                for span in self._store.spans
                if span.name == name and attributes.items() <= span.attributes.items()
            ]

        self.wait_until(lambda: bool(matching()))
        return matching()[0]

    # ------------------------------------------------------------------ taking it

    def _take(self, signal: str, data: bytes) -> None:
        message = _MESSAGES[signal]()
        message.ParseFromString(data)
        with self._changed:
            self._store.raw.append(data)
            for resource in getattr(message, f"resource_{_PARTS[signal][0]}"):
                service = str(_attributes(resource.resource.attributes).get("service.name", ""))
                for scope in getattr(resource, f"scope_{_PARTS[signal][0]}"):
                    for item in getattr(scope, _PARTS[signal][1]):
                        self._add(signal, service, scope.scope.name, item)
            self._changed.notify_all()

    def _add(self, signal: str, service: str, scope: str, item: Any) -> None:
        if signal == "traces":
            self._store.spans.append(_span(service, item))
        elif signal == "metrics":
            self._store.metrics.append(_metric(service, item))
        else:
            self._store.logs.append(_log(service, scope, item))

    def _serve_http(self) -> Callable[[], None]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if collector._silent:
                    collector._ended.wait()
                    self.close_connection = True
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                collector._take(self.path.rsplit("/", 1)[1], data)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    def _serve_grpc(self) -> Callable[[], None]:
        server = grpc.server(ThreadPoolExecutor(4))
        services = (
            ("traces", trace_grpc.add_TraceServiceServicer_to_server, trace_pb2, "Trace"),
            ("metrics", metrics_grpc.add_MetricsServiceServicer_to_server, metrics_pb2, "Metrics"),
            ("logs", logs_grpc.add_LogsServiceServicer_to_server, logs_pb2, "Logs"),
        )
        for signal, add, messages, name in services:
            answer = getattr(messages, f"Export{name}ServiceResponse")
            add(_Servicer(self, signal, answer), server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.endpoint = f"http://127.0.0.1:{port}"
        return lambda: server.stop(None).wait()

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._stop()

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Servicer:
    """One of the three services; they differ in their messages only."""

    def __init__(self, collector: Collector, signal: str, answer: Callable[[], Any]) -> None:
        self._collector = collector
        self._signal = signal
        self._answer = answer

    def Export(self, request: Any, _context: Any) -> Any:
        """Take one message."""
        if self._collector._silent:
            self._collector._ended.wait()
        else:
            self._collector._take(self._signal, request.SerializeToString())
        return self._answer()


_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "traces": ("spans", "spans"),
    "metrics": ("metrics", "metrics"),
    "logs": ("logs", "log_records"),
}

_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def _span(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        kind=_KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        status=span.status.code,
        trace_state=span.trace_state,
    )


def _metric(service: str, metric: Any) -> ReceivedMetric:
    kind = str(metric.WhichOneof("data"))
    data = getattr(metric, kind)
    points: dict[tuple[tuple[str, Any], ...], float] = {}
    bounds: tuple[float, ...] = ()
    for point in data.data_points:
        labels = tuple(sorted(_attributes(point.attributes).items()))
        if kind == "histogram":
            points[labels] = point.count
            bounds = tuple(point.explicit_bounds)
        else:
            points[labels] = getattr(point, str(point.WhichOneof("value")))
    return ReceivedMetric(
        service, metric.name, kind, metric.unit, metric.description, points, bounds
    )


def _log(service: str, scope: str, log: Any) -> ReceivedLog:
    return ReceivedLog(
        service=service,
        logger=scope,
        severity=log.severity_text,
        body=log.body.string_value,
        trace_id=log.trace_id.hex(),
        span_id=log.span_id.hex(),
        attributes=_attributes(log.attributes),
    )
