"""Telemetry of a client with the API of OpenTelemetry alone, without it, and with an SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.util import find_spec

from exec_client.cli.telemetry import trace_of_environment
from exec_client.options import ClientOptions
from exec_client.telemetry.observing import Observer
from exec_server_protocol.rpc import Trace
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _span(flags: int, *state: tuple[str, str]) -> NonRecordingSpan:
    context = SpanContext(TRACE_ID, SPAN_ID, False, TraceFlags(flags), TraceState(list(state)))
    return NonRecordingSpan(context)


async def test_a_caller_s_context_is_passed_on_without_an_sdk() -> None:
    observer = Observer("ws://127.0.0.1:1", ClientOptions())
    for span, expected in (
        (_span(1), Trace(PARENT)),
        (_span(0, ("a", "1"), ("b", "2")), Trace(PARENT[:-2] + "00", "a=1,b=2")),
        (trace.INVALID_SPAN, None),
    ):
        with trace.use_span(span), observer.call("process/list") as observed:
            assert observed.trace == expected
    await asyncio.sleep(0)


async def test_flags_that_older_peers_do_not_know_are_not_sent() -> None:
    observer = Observer("ws://127.0.0.1:1", ClientOptions())
    with trace.use_span(_span(3)), observer.call("process/list") as observed:
        assert observed.trace == Trace(PARENT)
    await asyncio.sleep(0)


async def test_a_span_tells_host_and_port_of_an_executor_and_nothing_else_of_its_url() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observer = Observer(
        "ws://user:secret@build:81/path?token=secret", ClientOptions(tracer_provider=provider)
    )
    with observer.call("process/list"), observer.connect(resume=False), observer.recovery():
        pass
    await asyncio.sleep(0)  # the span of a call is made behind it
    spans = exporter.get_finished_spans()
    assert len(spans) == 3
    for span in spans:
        attributes = dict(span.attributes or {})
        assert (attributes["server.address"], attributes["server.port"]) == ("build", 81)
        assert "secret" not in span.to_json()
    provider.shutdown()


def test_a_client_loads_nothing_of_opentelemetry_by_itself() -> None:
    code = (
        "import sys, exec_client.session.session, exec_client.cli.program, exec_client.sync\n"
        "from exec_client import ClientOptions\n"
        "from exec_client.telemetry.observing import Observer\n"
        "with Observer('ws://127.0.0.1:1', ClientOptions()).call('process/list') as observed:\n"
        "    assert observed.trace is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"


def test_the_program_passes_its_own_trace_on_unless_it_makes_spans() -> None:
    hook = trace_of_environment({"TRACEPARENT": PARENT, "TRACESTATE": "a=1"})
    assert hook is not None
    assert hook("process/start") == Trace(PARENT, "a=1")
    assert trace_of_environment({}) is None
    exporting = {"TRACEPARENT": PARENT, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    makes_spans = find_spec("opentelemetry.sdk") is not None
    assert (trace_of_environment(exporting) is None) == makes_spans
    disabled = trace_of_environment({**exporting, "OTEL_SDK_DISABLED": "true"})
    assert disabled is not None
