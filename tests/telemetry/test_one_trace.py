"""One trace from a client over the server into a child, at a real collector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exec_testkit.otlp import Collector, ReceivedSpan
from exec_testkit.server import ServerProcess, program

pytestmark = [pytest.mark.process, pytest.mark.slow]

CHILD = """
import os
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

provider = TracerProvider(resource=Resource({"service.name": "child"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
carrier = {name.lower(): os.environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
parent = TraceContextTextMapPropagator().extract(carrier)
with provider.get_tracer("child").start_as_current_span("work", context=parent):
    print("working")
provider.shutdown()
"""
"""A program that knows nothing of executors: it follows the convention for child processes."""


def _within(inner: ReceivedSpan, outer: ReceivedSpan) -> bool:
    return outer.start_ns <= inner.start_ns and inner.end_ns <= outer.end_ns


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_client_server_process_and_child_are_one_trace(protocol: str, tmp_path: Path) -> None:
    with Collector(protocol) as collector, Collector() as of_the_child:
        env = collector.environ
        script = tmp_path / "child.py"
        script.write_text(CHILD, encoding="utf-8")
        child_env = {"OTEL_EXPORTER_OTLP_ENDPOINT": of_the_child.endpoint}
        with ServerProcess(env=env) as server:
            done = subprocess.run(
                [
                    program("exec-client"),
                    "run",
                    "--url",
                    server.url,
                    *(word for item in child_env.items() for word in ("--env", "=".join(item))),
                    "--",
                    sys.executable,
                    str(script),
                ],
                env=env,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, b"working\n", b"")
            child = of_the_child.span("work")
            process = collector.span("exec_server.process")
            start = collector.span("process/start", result="success")
            command = collector.span("exec-client run")
        call = next(s for s in collector.spans if s.name == "process/start" and s.kind == "client")
    chain = [command, call, start, process, child]
    assert [span.service for span in chain] == [
        *("exec-client", "exec-client", "exec-server", "exec-server", "child")
    ]
    assert [span.parent for span in chain] == ["", *(span.span_id for span in chain[:-1])]
    assert len({span.trace_id for span in chain}) == 1
    assert start.kind == "server"
    # The server's span ends once the answer is on its way, so the client may have it sooner.
    assert call.start_ns <= start.start_ns <= call.end_ns
    assert _within(child, process)
    assert process.start_ns < start.end_ns < process.end_ns
    everything = [*collector.spans, *of_the_child.spans]
    assert {span.trace_id for span in everything} == {command.trace_id}
    known = {span.span_id for span in everything}
    assert all(span.parent in known for span in everything if span is not command)


def test_the_program_goes_on_with_the_trace_that_it_is_part_of(collector: Collector) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    run = [program("exec-client"), "run"]
    with ServerProcess(env=collector.environ) as server:
        for env in (collector.environ, dict(os.environ)):
            words = ["--url", server.url, "--", "sh", "-c", "echo $TRACEPARENT"]
            done = subprocess.run(
                [*run, *words],
                env={**env, "TRACEPARENT": parent, "TRACESTATE": "vendor=1"},
                capture_output=True,
                timeout=60,
                check=True,
            )
            assert done.stdout.decode().split("-")[1] == parent.split("-")[1]
    starts = [s for s in collector.spans if s.name == "process/start" and s.kind == "server"]
    assert {span.trace_id for span in starts} == {parent.split("-")[1]}
    assert {span.trace_state for span in starts} == {"vendor=1"}
    # With telemetry of its own its spans come between; without, the executor's follow directly.
    assert [span.parent == parent.split("-")[2] for span in starts] == [False, True]


def test_no_child_is_told_when_the_server_was_told_not_to(collector: Collector) -> None:
    run = [program("exec-client"), "run", "--url"]
    with ServerProcess("--no-trace-propagation", env=collector.environ) as server:
        command = [*run, server.url, "--", "sh", "-c", "echo $TRACEPARENT"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        assert done.stdout == b"\n"
        collector.span("exec_server.process")
