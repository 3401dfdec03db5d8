"""Log records know the trace in which they were written."""

from __future__ import annotations

import asyncio
import json

import pytest
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_records_on_stderr_and_at_the_collector_name_the_span(collector: Collector) -> None:
    arguments = ("--log-format", "json", "--log-level", "info")
    with ServerProcess(*arguments, env=collector.environ) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", "exit 7"])
        await client.finish("p")
        span = await asyncio.to_thread(collector.span, "exec_server.process")

        def exported() -> bool:
            return any(log.attributes.get("event") == "process_closed" for log in collector.logs)

        await asyncio.to_thread(collector.wait_until, exported)
        lines = [json.loads(line) for line in server.log().splitlines()]
        await client.close()
    closed = next(line for line in lines if line.get("event") == "process_closed")
    assert (closed["trace_id"], closed["span_id"]) == (span.trace_id, span.span_id)
    assert (closed["exit_class"], closed["exit_code"]) == ("failure", 7)
    record = next(log for log in collector.logs if log.attributes.get("event") == "process_closed")
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert (record.severity, record.body, record.service) == (
        "INFO",
        "process closed",
        "exec-server",
    )
    assert record.attributes == {
        "event": "process_closed",
        "exit_class": "failure",
        "exit_code": 7,
    }
    opened = next(line for line in lines if line["message"] == "session opened")
    initialize = next(span for span in collector.spans if span.name == "initialize")
    assert opened["span_id"] == initialize.span_id
    assert "trace_id" not in next(line for line in lines if "listening" in line["message"])


async def test_the_level_on_stderr_does_not_decide_what_is_exported(collector: Collector) -> None:
    with ServerProcess("--log-level", "error", env=collector.environ) as server:
        client = await WireClient.ready(server.url)
        await client.close()

        def exported() -> bool:
            return any(log.body == "session opened" for log in collector.logs)

        await asyncio.to_thread(collector.wait_until, exported)
        assert server.log() == ""


async def test_without_telemetry_the_events_are_there_and_the_trace_is_not() -> None:
    with ServerProcess("--log-format", "json", "--log-level", "info") as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["true"])
        await client.finish("p")
        await client.close()
        lines = [json.loads(line) for line in server.log().splitlines()]
    closed = next(line for line in lines if line.get("event") == "process_closed")
    assert (closed["exit_class"], closed["exit_code"]) == ("success", 0)
    assert not any("trace_id" in line for line in lines)
