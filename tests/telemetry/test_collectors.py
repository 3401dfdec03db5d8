"""Collectors that are away, hang or come back: the server neither waits nor grows."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

STOPS_WITHIN_SECONDS = 15.0
"""5 s for the collector, and a loaded machine; an SDK that is let have its way takes 30."""
FLOOD = 12_000
"""Requests: some times what the queue holds, and a few MiB if all of their spans were kept."""
GROWTH_BYTES = 24 * 1024 * 1024
"""Two full queues, and what any server takes for its first requests."""


@pytest.fixture(params=["nobody", "silent-http", "silent-grpc"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of a server whose collector takes nothing."""
    if request.param == "nobody":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and does not listen
            port = closed.getsockname()[1]
            yield {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        return
    protocol = "grpc" if request.param == "silent-grpc" else "http/protobuf"
    with Collector(protocol, silent=True) as collector:
        yield collector.environ


async def test_a_collector_that_takes_nothing_neither_slows_nor_grows_a_server(
    unreachable: dict[str, str],
) -> None:
    with ServerProcess(env=unreachable) as server:
        client = await WireClient.ready(server.url)
        for _ in range(2500):  # more than the queue holds
            await client.call("process/list")
        before = server.resident_bytes
        slowest = 0.0
        for _ in range(FLOOD):
            began = time.perf_counter()
            await client.call("process/list")
            slowest = max(slowest, time.perf_counter() - began)
        assert server.resident_bytes - before < GROWTH_BYTES
        assert slowest < 5.0, "a request waited for the collector, which has 10 s to answer"
        await client.start("p", ["echo", "works"])
        assert (await client.finish("p"))[0]["stdout"] == b"works\n"
        await client.close()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait, 30) == 0
        assert time.monotonic() - began < STOPS_WITHIN_SECONDS
        lines = [line for line in server.log().splitlines() if "telemetry" in line]
        assert 1 <= len(lines) <= 4, "\n".join(lines)
        assert "http://" not in server.log()


async def test_what_is_left_is_exported_at_the_end(collector: Collector) -> None:
    slow = {
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_BLRP_SCHEDULE_DELAY": "600000",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
    }
    with ServerProcess(env={**collector.environ, **slow}) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sleep", "60"])
        assert not collector.spans
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        await client.closed()
    # All of it, what happened while the server stopped included.
    process = next(span for span in collector.spans if span.name == "exec_server.process")
    assert process.attributes["exit_class"] == "expired"
    finished = collector.latest("exec_server_processes_finished_total")
    assert finished is not None
    assert list(finished.points.values()) == [1]
    active = collector.latest("exec_server_sessions_active")
    assert active is not None
    assert set(active.points.values()) == {0}
    assert collector.logs[-1].body in ("stopping", "session expired", "process closed")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"OTEL_TRACES_EXPORTER": "carrier-pigeon"}, "an exporter for traces is not installed"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "morse"}, "no such OTLP protocol"),
        (
            {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "no export of traces",
        ),
    ],
)
async def test_a_variable_that_makes_no_sense_costs_its_signal_only(
    variables: dict[str, str], problem: str, collector: Collector
) -> None:
    with ServerProcess(env={**collector.environ, **variables}) as server:
        client = await WireClient.ready(server.url)
        assert await client.call("process/list") == {"processes": []}
        await client.close()
        assert problem in server.log()


async def test_the_sdk_can_be_disabled(collector: Collector) -> None:
    environ = {**collector.environ, "OTEL_SDK_DISABLED": "true"}
    with ServerProcess(env=environ) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "echo $TRACEPARENT"])
        assert (await client.finish("p"))[0]["stdout"] == b"\n"
        await client.close()
    assert collector.raw == b""


def _seen(counts: Callable[[], list[float]], number: int, preference: str) -> bool:
    return number in counts() if preference == "cumulative" else sum(counts()) == number


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
async def test_histograms_keep_to_the_temporality_that_is_asked_for(
    preference: str, collector: Collector
) -> None:
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    labels = (("method", "process/list"), ("result", "success"))

    def counts() -> list[float]:
        found = [m for m in collector.metrics if m.name == "exec_server_request_duration_seconds"]
        return [metric.points[labels] for metric in found if labels in metric.points]

    with ServerProcess(env={**collector.environ, name: preference}) as server:
        client = await WireClient.ready(server.url)
        for number in (1, 2):
            await client.call("process/list")
            wanted = partial(_seen, counts, number, preference)
            await asyncio.to_thread(collector.wait_until, wanted)
        await client.close()
    assert set(counts()) == ({1, 2} if preference == "cumulative" else {1})


async def test_a_sampler_is_asked(collector: Collector) -> None:
    environ = {**collector.environ, "OTEL_TRACES_SAMPLER": "always_off"}
    with ServerProcess(env=environ) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "echo $TRACEPARENT"])
        assert (await client.finish("p"))[0]["stdout"].endswith(b"-00\n")
        await client.close()
    assert not collector.spans
    with ServerProcess(env={**environ, "OTEL_TRACES_SAMPLER": "parentbased_always_on"}) as server:
        client = await WireClient.ready(server.url)
        await client.call("process/list")
        await client.refused("no/such")
        await client.close()
        span = await asyncio.to_thread(collector.span, "process/list")
        assert span.attributes["result"] == "success"
        refused = await asyncio.to_thread(collector.span, "unknown")
        assert refused.attributes["error.type"] == "-32601"
