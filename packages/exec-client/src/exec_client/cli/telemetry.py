"""Telemetry of the program: set up by the ``OTEL_*`` variables, exported when it ends.

The package's extra ``otel`` brings what that needs. Without it, and when no variable asks for
telemetry, nothing is loaded. ``TRACEPARENT`` and ``TRACESTATE`` of the environment are the
parent of what the program does, with and without the extra.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from exec_server_protocol.rpc import Trace

from .messages import Messages

__all__ = ["observed", "trace_of_environment"]

SHUTDOWN_SECONDS: Final = 3.0
"""For the last export. Nobody waits longer for a prompt because a collector is away."""

_SERVICE: Final = "exec-client"
_PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def trace_of_environment(environ: Mapping[str, str]) -> Callable[[str], Trace | None] | None:
    """Return a trace hook for a program that is part of a trace without telemetry of its own."""
    traceparent = environ.get("TRACEPARENT")
    makes_spans = _exporters(environ, "TRACES") and find_spec("opentelemetry.sdk")
    if not traceparent or makes_spans:
        return None
    trace = Trace(traceparent, environ.get("TRACESTATE") or None)
    return lambda _method: trace


def _exporters(environ: Mapping[str, str], signal: str) -> list[str]:
    """Return the names of a signal's exporters, as installed packages declare them."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    text = environ.get(f"OTEL_{signal}_EXPORTER", "").strip()
    if not text:
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        text = "otlp" if any(environ.get(name) for name in endpoints) else "none"
    protocol = (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "grpc"
    )
    names = [name.strip() for name in text.split(",")]
    return [
        _PROTOCOLS.get(protocol.strip(), protocol.strip()) if name == "otlp" else name
        for name in names
        if name not in ("", "none")
    ]


@contextmanager
def observed(command: str, environ: Mapping[str, str], messages: Messages) -> Iterator[None]:
    """Run a subcommand inside a span of its own, if the variables ask for telemetry.

    Args:
        command: Its name.
        environ: The variables.
        messages: For what is missing.
    """
    traces, metrics = _exporters(environ, "TRACES"), _exporters(environ, "METRICS")
    if not traces and not metrics:
        yield
        return
    try:
        import opentelemetry.sdk.trace  # noqa: F401 - the API alone is always there
    except ModuleNotFoundError:
        messages.note("no telemetry: install exec-client[otel] for what the OTEL_* variables ask")
        yield
        return
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False  # stderr is the command's
    ends = [*_set_up_traces(traces, environ, messages), *_set_up_metrics(metrics, messages)]
    try:
        with _root_span(command, environ):
            yield
    finally:
        _end(ends)


@contextmanager
def _root_span(command: str, environ: Mapping[str, str]) -> Iterator[None]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name: environ.get(name.upper(), "") for name in ("traceparent", "tracestate")}
    parent = TraceContextTextMapPropagator().extract(carrier)
    tracer = trace.get_tracer("exec_client")
    # What an exception says may quote anything; the program prints it, the span does not.
    with tracer.start_as_current_span(
        f"exec-client {command}",
        context=parent,
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


def _set_up_traces(
    names: list[str], environ: Mapping[str, str], messages: Messages
) -> list[Callable[[], object]]:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporters = _load("traces", names, messages)
    if not exporters:
        return []
    provider = TracerProvider(resource=_resource(environ), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return [provider.shutdown]


def _set_up_metrics(names: list[str], messages: Messages) -> list[Callable[[], object]]:
    import os

    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

    exporters = _load("metrics", names, messages)
    if not exporters:
        return []
    readers = [
        item if isinstance(item, MetricReader) else PeriodicExportingMetricReader(item)
        for item in exporters
    ]
    provider = MeterProvider(readers, _resource(os.environ), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return [provider.shutdown]


def _resource(environ: Mapping[str, str]) -> Any:
    from importlib.metadata import version

    from opentelemetry.sdk.resources import Resource

    given = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    names = {pair.partition("=")[0].strip() for pair in given.split(",")}
    attributes = {"service.name": _SERVICE, "service.version": version(_SERVICE)}
    if environ.get("OTEL_SERVICE_NAME"):
        del attributes["service.name"]
    return Resource.create({k: v for k, v in attributes.items() if k not in names})


def _load(signal: str, names: list[str], messages: Messages) -> list[Any]:
    import sys
    from importlib.metadata import entry_points

    made: list[Any] = []
    for name in names:
        found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
        if not found:
            messages.note(f"no {signal} are exported: no such exporter is installed")
            continue
        try:
            exporter = found[0].load()
            made.append(exporter(out=sys.stderr) if name == "console" else exporter())
        except Exception as error:  # noqa: BLE001 - a wrong variable shall not stop the command
            messages.note(f"no {signal} are exported: {type(error).__name__}")
    return made


def _end(ends: list[Callable[[], object]]) -> None:
    """Export what is left, side by side, for a bounded time; then leave it."""
    threads = [threading.Thread(target=end, daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SHUTDOWN_SECONDS)
