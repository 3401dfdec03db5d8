"""A client's spans are the same, whether they are begun or put together in the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from exec_client.telemetry.otel import OpenTelemetryClient
from exec_server_protocol.errors import InvalidRequestError
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON


class Counting(SpanProcessor):
    """A processor of a program's own, which wants to know when a span begins."""

    def __init__(self) -> None:
        self.begun = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.begun += 1


def _described(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    return {
        "name": span.name,
        "kind": span.kind,
        "attributes": dict(span.attributes or {}),
        "status": span.status.status_code,
        "parent": span.parent and span.parent.span_id,
        "trace_id": span.context.trace_id,
        "state": span.context.trace_state.to_header(),
        "resource": span.resource.attributes,
        "scope": span.instrumentation_scope and span.instrumentation_scope.name,
        "took a while": (span.end_time or 0) > (span.start_time or 0) > 0,
        "links": list(span.links),
    }


async def _call(client: OpenTelemetryClient, method: str, error: Exception | None) -> str:
    with suppress(InvalidRequestError, ConnectionError), client.call(method) as observed:
        sent = observed.trace
        if error is not None:
            raise error
    await asyncio.sleep(0)  # it is finished behind the caller
    assert sent is not None
    return str(sent.traceparent)


@pytest.mark.parametrize("error", [None, InvalidRequestError("no"), ConnectionError("gone")])
async def test_both_ways_make_the_same_span(error: Exception | None) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = OpenTelemetryClient("ws://example.com", provider, NoOpMeterProvider())
    with provider.get_tracer("caller").start_as_current_span("caller"):
        late = await _call(client, "process/start", error)
        counting = Counting()
        provider.add_span_processor(counting)
        begun = await _call(client, "process/start", error)
    one, other, _caller = exporter.get_finished_spans()
    assert _described(one) == _described(other)
    assert counting.begun == 1
    for span, sent in ((one, late), (other, begun)):
        assert span.context is not None
        assert sent.split("-")[2] == f"{span.context.span_id:016x}"
    provider.shutdown()


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ALWAYS_ON])
async def test_a_sampler_of_the_program_s_own_decides(sampler: Any) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = OpenTelemetryClient("ws://example.com", provider, NoOpMeterProvider())
    sent = await _call(client, "process/start", None)
    assert sent.endswith("-01" if sampler is ALWAYS_ON else "-00")
    assert len(exporter.get_finished_spans()) == (sampler is ALWAYS_ON)
    provider.shutdown()


async def test_a_call_in_a_trace_that_is_not_sampled_has_no_span() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    silent = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    client = OpenTelemetryClient("ws://example.com", provider, NoOpMeterProvider())
    with silent.get_tracer("caller").start_as_current_span("caller") as span:
        sent = await _call(client, "process/start", None)
        assert sent.split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    assert sent.endswith("-00")
    assert not exporter.get_finished_spans()
    provider.shutdown()
