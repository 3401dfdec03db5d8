"""Metrics at a real collector: names, units, attributes and numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from exec_server.telemetry.names import METRICS, MetricKind
from exec_server_protocol.methods import REQUESTS
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

KINDS = {MetricKind.COUNTER: "sum", MetricKind.GAUGE: "gauge", MetricKind.HISTOGRAM: "histogram"}


@pytest.fixture
def server(collector: Collector) -> Iterator[ServerProcess]:
    arguments = ("--session-ttl-seconds", "0.5", "--retain-output-bytes", "0")
    with ServerProcess(*arguments, env=collector.environ) as process:
        yield process


def _labels(**labels: str) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(labels.items()))


async def _reaches(collector: Collector, name: str, value: float, **labels: str) -> None:
    def reached() -> bool:
        metric = collector.latest(f"exec_server_{name}")
        return metric is not None and metric.points.get(_labels(**labels)) == value

    try:
        await asyncio.to_thread(collector.wait_until, reached)
    except TimeoutError:
        raise AssertionError(
            f"{name} {labels}: {collector.latest(f'exec_server_{name}')}"
        ) from None


async def test_what_a_session_does_is_counted(server: ServerProcess, collector: Collector) -> None:
    first = await WireClient.ready(server.url)
    await first.start("ok", ["sh", "-c", "printf 12345; printf 123 >&2"])
    await first.finish("ok")
    await first.start("bad", ["sh", "-c", "exit 3"], tty=True)
    await first.finish("bad")
    await first.start("signal", ["sh", "-c", "kill -9 $$"])
    await first.finish("signal")
    await first.start("stopped", ["sleep", "60"])
    await _reaches(collector, "processes_active", 1)
    await first.call("process/terminate", {"processId": "stopped"})
    await first.finish("stopped")
    assert await first.refused("process/start", {"processId": "x"}) == -32602
    assert await first.refused("no/such-method") == -32601
    starting = {"argv": ["/no/such/program"], "cwd": "file:///", "env": {}, "tty": False}
    assert await first.refused("process/start", {"processId": "y", **starting}) == -32603
    await _reaches(collector, "sessions_active", 1, state="attached")
    await _reaches(collector, "connections_active", 1, transport="websocket")
    first.abort()
    await _reaches(collector, "session_events_total", 1, event="detached")
    await _reaches(collector, "session_events_total", 1, event="expired")
    await _reaches(collector, "sessions_active", 0, state="attached")
    await _reaches(collector, "connections_active", 0, transport="websocket")
    await _reaches(collector, "connections_total", 1, transport="websocket")
    await _reaches(collector, "processes_active", 0)
    for exit_class, result in {
        "success": "success",
        "failure": "error",
        "signal": "error",
        "terminated": "terminated",
    }.items():
        finished = {"exit_class": exit_class, "result": result}
        await _reaches(collector, "processes_finished_total", 1, **finished)
    await _reaches(collector, "process_duration_seconds", 2, result="error")
    await _reaches(collector, "process_starts_total", 4, result="success")
    await _reaches(collector, "process_starts_total", 1, result="error")
    await _reaches(collector, "output_bytes_total", 5, stream="stdout")
    await _reaches(collector, "output_bytes_total", 3, stream="stderr")
    for metric in ("requests_total", "request_duration_seconds", "request_total_duration_seconds"):
        await _reaches(collector, metric, 4, method="process/start", result="success")
        await _reaches(collector, metric, 2, method="process/start", result="error")
        await _reaches(collector, metric, 1, method="unknown", result="error")
    await _reaches(collector, "request_queue_duration_seconds", 6, method="process/start")
    await _reaches(collector, "queue_duration_seconds", 4, queue="spawn")


async def test_a_process_of_a_lost_session_is_one_that_expired(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"])
    client.abort()
    finished = {"exit_class": "expired", "result": "error"}
    await _reaches(collector, "processes_finished_total", 1, **finished)


async def test_a_request_that_a_disconnect_cut_off_counts_as_waiting_only(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"])
    await client.request("process/read", {"processId": "p", "waitMs": 60_000})
    assert await client.call("process/list")
    client.abort()
    await _reaches(collector, "request_queue_duration_seconds", 1, method="process/read")
    await asyncio.to_thread(collector.span, "process/read")
    (span,) = (span for span in collector.spans if span.name == "process/read")
    assert "result" not in span.attributes
    requests = collector.latest("exec_server_requests_total")
    assert requests is not None
    assert _labels(method="process/list", result="success") in requests.points
    assert not [labels for labels in requests.points if ("method", "process/read") in labels]


async def test_output_that_nobody_will_get_is_counted(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    script = "read line; head -c 3000000 /dev/zero; sleep 60"
    await client.start("p", ["sh", "-c", script], pipeStdin=True)
    write = {"processId": "p", "chunk": "aGkK", "writeId": "1"}
    await client.request("process/write", write)
    client.abort()

    def dropped() -> bool:
        metric = collector.latest("exec_server_dropped_output_bytes_total")
        return metric is not None and 0 < metric.points.get((), 0) < 3_000_000

    await asyncio.to_thread(collector.wait_until, dropped)


async def test_a_resumed_session_counts_as_resumed_and_what_it_keeps_is_shown(
    collector: Collector,
) -> None:
    with ServerProcess("--session-ttl-seconds", "120", env=collector.environ) as server:
        first = await WireClient.ready(server.url)
        await first.start("p", ["printf", "12345678"])
        await first.finish("p")
        await first.close()
        await _reaches(collector, "sessions_active", 1, state="detached")
        await _reaches(collector, "retained_output_bytes", 8)
        second = await WireClient.ready(server.url, first.session_id)
        await _reaches(collector, "session_events_total", 1, event="resumed")
        await second.close()


async def test_every_metric_has_the_documented_unit_and_attributes(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["true"])
    await client.finish("p")
    await client.close()
    await asyncio.to_thread(collector.span, "exec_server.process")
    await _reaches(collector, "process_starts_total", 1, result="success")
    for metric in collector.metrics:
        documented = METRICS.get(metric.name)
        if metric.service == "exec-server" and metric.name.startswith("exec_server"):
            assert documented is not None, metric.name
            assert (metric.kind, metric.unit) == (KINDS[documented.kind], documented.unit)
            assert metric.description == documented.description
            for labels in metric.points:
                assert [name for name, _ in labels] == sorted(documented.labels)
                for name, value in labels:
                    allowed = documented.labels[name] or (*REQUESTS, "unknown")
                    assert value in allowed, (metric.name, name, value)
