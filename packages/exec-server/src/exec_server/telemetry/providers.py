"""Providers of the OpenTelemetry SDK, as the ``OTEL_*`` variables describe them.

Telemetry never stops the server: what cannot be set up is said in the log and left out.
Exporting happens in threads of the SDK, behind queues that drop when they are full. The end
is bounded: what a collector has not taken by then is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from typing import Any, Final

from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from .finished_spans import FinishedSpans
from .histograms import Histograms, WithHistograms
from .log_export import LogExport, quiet_sdk
from .names import Metric
from .otel import SCOPE, OpenTelemetryInstruments
from .settings import Signals

__all__ = ["Telemetry"]

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS: Final = 5.0
"""For the last export. A collector that is there takes it in milliseconds."""

_SERVICE: Final = "exec-server"

_Record = Callable[[Metric, tuple[str, ...], float], None]


class Telemetry:
    """Providers and exporters of a running server.

    Args:
        signals: What to export; see ``settings``.
        environ: The variables.
        propagate: See ``OpenTelemetryInstruments``.

    Attributes:
        instruments: For the server.
    """

    def __init__(self, signals: Signals, environ: Mapping[str, str], *, propagate: bool) -> None:
        quiet_sdk()
        self._ends: list[Callable[[], None]] = []
        package_version = version(_SERVICE)
        resource = _resource(environ, package_version)
        sampler = bool(environ.get("OTEL_TRACES_SAMPLER"))
        tracers, finished = self._tracer_provider(signals.traces, resource, sampler=sampler)
        meters, record = self._meter_provider(signals.metrics, resource)
        self.instruments = OpenTelemetryInstruments(
            tracers,
            meters,
            propagate=propagate,
            version=package_version,
            record=record,
            finished_spans=finished,
        )
        self._logs = self._log_export(signals.logs, resource)

    def _tracer_provider(
        self, exporters: tuple[str, ...], resource: Resource, *, sampler: bool
    ) -> tuple[ApiTracerProvider, FinishedSpans | None]:
        found = _load("traces", exporters)
        if not found:
            return NoOpTracerProvider(), None
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        with _without_fork_handlers():
            processors = [BatchSpanProcessor(exporter) for exporter in found]
        for processor in processors:
            provider.add_span_processor(processor)
        self._ends.append(provider.shutdown)
        if sampler:
            return provider, None
        return provider, FinishedSpans(processors, resource, SCOPE, version(_SERVICE))

    def _meter_provider(
        self, exporters: tuple[str, ...], resource: Resource
    ) -> tuple[ApiMeterProvider, _Record | None]:
        found = _load("metrics", exporters)
        if not found:
            return NoOpMeterProvider(), None
        # What is asked by its collector is a reader already, which our histograms do not reach.
        ours = not any(isinstance(item, MetricReader) for item in found)
        histograms = Histograms()
        with _without_fork_handlers():
            readers = [
                item
                if isinstance(item, MetricReader)
                else PeriodicExportingMetricReader(
                    WithHistograms(item, histograms) if ours else item
                )
                for item in found
            ]
        provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._ends.append(provider.shutdown)
        return provider, histograms.record if ours else None

    def _log_export(self, exporters: tuple[str, ...], resource: Resource) -> LogExport | None:
        found = _load("logs", exporters)
        if not found:
            return None
        provider = LoggerProvider(resource, shutdown_on_exit=False)
        with _without_fork_handlers():
            for exporter in found:
                provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        self._ends.append(provider.shutdown)
        export = LogExport(provider)
        export.install()
        return export

    async def close(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """Export what is left, and stop. Returns in time, whatever the collector does."""
        if self._logs is not None:
            self._logs.remove()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def end(one: Callable[[], None]) -> None:
            try:
                one()
            except Exception:  # noqa: BLE001 - exporters are strangers, and this is the end
                logger.warning("telemetry could not be shut down")

        def run() -> None:
            # Side by side: one collector that hangs shall not use up the time of the others.
            threads = [threading.Thread(target=end, args=(one,), daemon=True) for one in self._ends]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout)
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:  # nobody waits any more
                return

        threading.Thread(target=run, name="exec-server-telemetry-end", daemon=True).start()
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            logger.warning("telemetry: the collector did not take everything in %g s", timeout)


@contextmanager
def _without_fork_handlers() -> Iterator[None]:
    """Keep what is made in the block from starting its thread anew in every forked child.

    This server forks for nothing but to execute something else: a child with a terminal. The
    SDK would start three threads in it before that, which takes milliseconds.
    """
    register = getattr(os, "register_at_fork", None)
    if register is None:
        yield
        return
    os.register_at_fork = lambda **_handlers: None
    try:
        yield
    finally:
        os.register_at_fork = register


def _resource(environ: Mapping[str, str], package_version: str) -> Resource:
    attributes = {"service.version": package_version, "service.instance.id": str(uuid.uuid4())}
    given = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    names = {pair.partition("=")[0].strip() for pair in given.split(",")}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name" not in names:
        attributes["service.name"] = _SERVICE
    return Resource.create({k: v for k, v in attributes.items() if k not in names})


def _load(signal: str, exporters: tuple[str, ...]) -> list[Any]:
    """Make exporters by the names under which packages declare them."""
    made: list[Any] = []
    for name in exporters:
        found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
        if not found and name == "otlp_proto_grpc":
            logger.warning(
                "telemetry: no %s are exported: gRPC, the default, needs exec-server[grpc]; "
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf goes without",
                signal,
            )
            continue
        if not found:
            logger.warning("telemetry: an exporter for %s is not installed", signal)
            continue
        try:
            exporter = found[0].load()
            # Stdout belongs to the line with the URL.
            made.append(exporter(out=sys.stderr) if name == "console" else exporter())
        except Exception as error:  # noqa: BLE001 - a wrong variable is no reason not to start
            logger.warning("telemetry: no export of %s: %s", signal, type(error).__name__)
    return made
