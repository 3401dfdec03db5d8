"""What a client may send as ``trace``, and what becomes of the request and its span."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from exec_testkit.otlp import Collector, ReceivedSpan
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def server(collector: Collector) -> Iterator[ServerProcess]:
    with ServerProcess(env=collector.environ) as process:
        yield process


async def _list(client: WireClient, request_id: int, trace: Any) -> Any:
    message = {"id": request_id, "method": "process/list", "params": {}, "trace": trace}
    await client.send_raw(json.dumps(message))
    return await client.answer(request_id)


async def _spans(collector: Collector, name: str, count: int) -> list[ReceivedSpan]:
    def found() -> list[ReceivedSpan]:
        return [span for span in collector.spans if span.name == name]

    await asyncio.to_thread(collector.wait_until, lambda: len(found()) >= count)
    return found()


async def test_a_valid_carrier_is_the_parent(server: ServerProcess, collector: Collector) -> None:
    client = await WireClient.ready(server.url)
    await _list(client, 70, {"traceparent": VALID, "tracestate": "a=1,b=2", "more": [1]})
    await _list(client, 71, {"traceparent": VALID.replace("00-", "01-", 1), "tracestate": None})
    await _list(client, 72, {"traceparent": VALID, "tracestate": "BAD"})
    spans = await _spans(collector, "process/list", 3)
    assert {(span.trace_id, span.parent) for span in spans} == {(TRACE, SPAN)}
    assert [span.trace_state for span in spans] == ["a=1,b=2", "", ""]
    await client.close()


async def test_an_unusable_carrier_is_ignored_with_a_warning_and_the_request_runs(
    server: ServerProcess, collector: Collector
) -> None:
    unusable: list[Any] = [
        {"traceparent": "garbage"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": "x" * 1_000_000, "tracestate": "y" * 1_000_000},
        {"tracestate": "a=1"},
    ]
    silent: list[Any] = [None, {}, {"traceparent": None}]
    client = await WireClient.ready(server.url)
    for number, trace in enumerate([*unusable, *silent]):
        assert await _list(client, 100 + number, trace) == {"processes": []}
    spans = await _spans(collector, "process/list", len(unusable) + len(silent))
    assert all(span.parent == "" for span in spans)
    assert len({span.trace_id for span in spans}) == len(spans)
    await client.close()
    assert server.log().count("ignoring an invalid inbound trace carrier: process/list") == 1
    assert "garbage" not in server.log()


@pytest.mark.parametrize("trace", ['"text"', "1", '{"traceparent":1}', '{"tracestate":[]}'])
async def test_a_carrier_of_a_wrong_type_makes_the_message_malformed(
    trace: str, server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    await client.send_raw('{"id":5,"method":"process/list","params":{},"trace":' + trace + "}")
    assert await client.outcome(-1) == -32600
    assert await _list(client, 6, None) == {"processes": []}
    await _spans(collector, "process/list", 1)
    metric = "exec_server_malformed_messages_total"
    await asyncio.to_thread(collector.wait_until, lambda: collector.latest(metric) is not None)
    await client.close()


async def test_a_trace_that_is_not_sampled_leaves_no_span_but_is_counted_and_passed_on(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    params = {
        "processId": "p",
        "argv": ["sh", "-c", "echo $TRACEPARENT"],
        "cwd": "file:///",
        "env": {"PATH": "/bin:/usr/bin"},
        "tty": False,
    }
    trace = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    message = {"id": 9, "method": "process/start", "params": params, "trace": trace}
    await client.send_raw(json.dumps(message))
    await client.answer(9)
    output, code, _ = await client.finish("p")
    assert code == 0
    version, trace_id, _, flags = output["stdout"].decode().strip().split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "00")

    def counted() -> bool:
        metric = collector.latest("exec_server_requests_total")
        labels = (("method", "process/start"), ("result", "success"))
        return metric is not None and metric.points.get(labels) == 1

    await asyncio.to_thread(collector.wait_until, counted)
    await _list(client, 10, {"traceparent": VALID})
    await _spans(collector, "process/list", 1)
    await client.close()
    assert not {"process/start", "exec_server.process"} & {span.name for span in collector.spans}


async def test_the_trace_of_a_notification_never_matters(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.dial(server.url)
    await client.initialize()
    await client.send_raw('{"method":"initialized","trace":{"traceparent":5}}')
    assert await _list(client, 3, None) == {"processes": []}
    spans = await _spans(collector, "process/list", 1)
    assert spans[0].parent == ""
    await client.close()


async def test_what_a_request_says_of_its_trace_wins_for_the_child(
    server: ServerProcess, collector: Collector
) -> None:
    client = await WireClient.ready(server.url)
    own = {"TRACEPARENT": VALID, "PATH": "/bin:/usr/bin"}
    await client.start("p", ["sh", "-c", "echo $TRACEPARENT$TRACESTATE"], env=own)
    output, _, _ = await client.finish("p")
    assert output["stdout"].decode() == VALID + "\n"
    await client.close()
