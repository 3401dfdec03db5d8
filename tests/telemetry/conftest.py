"""A collector, servers that export to it, and clients that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exec_client import ClientOptions
from exec_testkit.otlp import Collector
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def options() -> Iterator[Callable[..., ClientOptions]]:
    """Make the options of a client whose spans go to a collector over HTTP."""
    ends: list[Callable[[], object]] = []

    def make(collector: Collector, **changes: Any) -> ClientOptions:
        resource = Resource({"service.name": "test-client"})
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans = OTLPSpanExporter(f"{collector.endpoint}/v1/traces")
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        points = OTLPMetricExporter(f"{collector.endpoint}/v1/metrics")
        reader = PeriodicExportingMetricReader(points, export_interval_millis=200)
        meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        ends.extend((tracers.shutdown, meters.shutdown))
        return ClientOptions(
            tracer_provider=tracers, meter_provider=meters, retry_delay=0.01, **changes
        )

    yield make
    for end in ends:
        end()
