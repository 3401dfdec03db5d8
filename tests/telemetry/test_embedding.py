"""A program that embeds a server and brings providers of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from exec_server import ServerConfig, serve
from exec_server.telemetry.names import METRICS
from exec_server.telemetry.otel import OpenTelemetryInstruments
from exec_testkit.wire import WireClient
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytestmark = pytest.mark.process


class Providers:
    """Providers that keep what they get."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def span(self, name: str) -> ReadableSpan:
        """Return the one span of this name."""
        (found,) = (span for span in self.exporter.get_finished_spans() if span.name == name)
        return found

    async def points(self) -> dict[str, dict[tuple[object, ...], float]]:
        """Return label values to a number, or to a histogram's count, by metric."""
        # As an exporter does, in a thread: the gauges are read on the loop meanwhile.
        data = await asyncio.to_thread(self.reader.get_metrics_data)
        assert data is not None
        return {
            metric.name: {
                tuple((point.attributes or {}).values()): (
                    point.value if isinstance(point, NumberDataPoint) else point.count
                )
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def providers() -> Iterator[Providers]:
    made = Providers()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


async def test_spans_and_metrics_go_to_the_program_s_own_providers(providers: Providers) -> None:
    instruments = OpenTelemetryInstruments(providers.tracers, providers.meters)
    async with serve(ServerConfig(instruments=instruments)) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "echo $TRACEPARENT; exit 3"])
        output, code, _ = await client.finish("p")
        assert code == 3
        assert await client.call("fs/getMetadata", {"path": "file:///"})
        assert await client.refused("no/such") == -32601
        points = await providers.points()
        await client.close()
    process = providers.span("exec_server.process")
    start = providers.span("process/start")
    assert process.parent is not None
    assert start.context is not None
    assert process.context is not None
    assert process.parent.span_id == start.context.span_id
    assert output["stdout"].decode().split("-")[2] == f"{process.context.span_id:016x}"
    work, request = providers.span("exec_server.filesystem"), providers.span("fs/getMetadata")
    assert work.parent is not None
    assert request.context is not None
    assert work.parent.span_id == request.context.span_id
    assert dict(work.attributes or {})["result"] == "success"
    assert providers.span("unknown").status.is_unset
    assert points["exec_server_requests_total"][("process/start", "success")] == 1
    assert points["exec_server_request_duration_seconds"][("unknown", "error")] == 1
    assert points["exec_server_process_duration_seconds"][("error",)] == 1
    assert points["exec_server_sessions_active"] == {("attached",): 1, ("detached",): 0}
    assert points["exec_server_connections_active"] == {("websocket",): 1}
    assert points.keys() <= METRICS.keys()


async def test_a_label_value_that_is_not_in_its_set_becomes_other(providers: Providers) -> None:
    instruments = OpenTelemetryInstruments(providers.tracers, providers.meters)
    started = METRICS["exec_server_process_starts_total"]
    waited = METRICS["exec_server_queue_duration_seconds"]
    for number in range(1000):
        instruments.count(started, f"/home/user/{number}")
        instruments.record(waited, instruments.clock(), f"/home/user/{number}")
    points = await providers.points()
    assert points["exec_server_process_starts_total"] == {("other",): 1000}
    assert points["exec_server_queue_duration_seconds"] == {("other",): 1000}


async def test_two_servers_of_one_program_do_not_share_what_they_count(
    providers: Providers,
) -> None:
    other = Providers()
    one = OpenTelemetryInstruments(providers.tracers, providers.meters)
    two = OpenTelemetryInstruments(other.tracers, other.meters)
    async with (
        serve(ServerConfig(instruments=one)) as first,
        serve(ServerConfig(instruments=two)) as second,
    ):
        for url in (first.url, second.url, second.url):
            await (await WireClient.ready(url)).close()
        counts = [
            (await one_of.points())["exec_server_connections_total"][("websocket",)]
            for one_of in (providers, other)
        ]
    assert counts == [1, 2]
    other.meters.shutdown()
    other.tracers.shutdown()
