"""Spans below a request: file operations, sandboxes, HTTP requests."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def server(collector: Collector) -> Iterator[ServerProcess]:
    with ServerProcess(env=collector.environ) as process:
        yield process


async def _traced(client: WireClient, request_id: int, method: str, params: Any) -> int:
    trace = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    message = {"id": request_id, "method": method, "params": params, "trace": trace}
    await client.send_raw(json.dumps(message))
    return await client.outcome(request_id)


def _sandbox(folder: Path) -> dict[str, Any]:
    context = SandboxContext.from_policy("readOnly", cwd=PathUri.from_native(os.fsencode(folder)))
    members: dict[str, Any] = json.loads(context.to_json())
    return members


async def test_a_file_operation_has_a_span_below_its_request(
    server: ServerProcess, collector: Collector, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    uri = (tmp_path / "file").as_uri()
    assert await _traced(client, 50, "fs/writeFile", {"path": uri, "dataBase64": "aGk="}) == 0
    assert await _traced(client, 51, "fs/readFile", {"path": uri}) == 0
    assert await _traced(client, 52, "fs/readFile", {"path": uri + "-missing"}) == -32004
    await client.close()
    for method, result, reused in (
        ("fs/writeFile", "success", False),
        ("fs/readFile", "success", True),
        ("fs/readFile", "error", True),
    ):
        work = await asyncio.to_thread(
            collector.span, "exec_server.filesystem", method=method, result=result
        )
        request = collector.span(method, result=result)
        assert (work.trace_id, work.parent, request.parent) == (TRACE, request.span_id, SPAN)
        assert request.start_ns <= work.start_ns <= work.end_ns <= request.end_ns
        assert work.attributes == {
            "method": method,
            "sandboxed": False,
            "reused": reused,
            "result": result,
        }


async def test_workers_their_reuse_and_denials_are_counted(
    server: ServerProcess, collector: Collector, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    file = tmp_path / "file"
    file.write_text("hi", encoding="utf-8")
    confined = {"path": file.as_uri(), "sandbox": _sandbox(tmp_path)}
    assert await _traced(client, 60, "fs/readFile", {"path": file.as_uri()}) == 0
    assert await _traced(client, 61, "fs/readFile", confined) == 0
    assert await _traced(client, 62, "fs/readFile", confined) == 0
    assert await _traced(client, 63, "fs/writeFile", {**confined, "dataBase64": "aGk="}) != 0
    await client.close()

    def total(name: str, **labels: str) -> float:
        metric = collector.latest(f"exec_server_{name}")
        return 0 if metric is None else metric.points.get(tuple(labels.items()), 0)

    def complete() -> bool:
        return (
            total("worker_launches_total", launch="direct") == 1
            and total("worker_launches_total", launch="sandboxed") == 1
            and total("worker_reuses_total", launch="sandboxed") == 2
            and total("sandbox_denials_total", operation="filesystem") == 1
            and total("queue_duration_seconds", queue="filesystem") == 4
        )

    await asyncio.to_thread(collector.wait_until, complete)
    prepared = await asyncio.to_thread(collector.span, "exec_server.sandbox.prepare")
    assert prepared.attributes == {"operation": "filesystem", "result": "success"}


async def test_a_sandboxed_process_shows_its_preparation(
    server: ServerProcess, collector: Collector, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["true"], sandbox=_sandbox(tmp_path), cwd=tmp_path.as_uri())
    assert (await client.finish("p"))[1] == 0
    await client.close()
    process = await asyncio.to_thread(collector.span, "exec_server.process")
    spawn = collector.span("exec_server.process.spawn")
    prepared = collector.span("exec_server.sandbox.prepare", operation="process")
    start = collector.span("process/start")
    assert process.attributes["sandboxed"] is True
    assert (process.parent, spawn.parent, prepared.parent) == (
        start.span_id,
        start.span_id,
        spawn.span_id,
    )


class _Origin(BaseHTTPRequestHandler):
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []
    handler = type("Origin", (_Origin,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()
        thread.join()


async def test_an_http_request_has_a_span_that_its_origin_is_told_of(
    server: ServerProcess, collector: Collector, origin: tuple[str, list[dict[str, str]]]
) -> None:
    url, seen = origin
    client = await WireClient.ready(server.url)
    params = {"method": "GET", "url": f"{url}/secret?token=1", "headers": [], "requestId": "a"}
    assert await _traced(client, 70, "http/request", params) == 0
    own = {"name": "traceparent", "value": f"00-{TRACE}-{SPAN}-00"}
    assert await _traced(client, 71, "http/request", {**params, "headers": [own]}) == 0
    refused = {**params, "url": "http://127.0.0.1:1/", "method": "BREW"}
    assert await _traced(client, 72, "http/request", refused) == -32603
    await client.close()
    sent = await asyncio.to_thread(
        collector.span, "exec_server.http_request", **{"http.response.status_code": 204}
    )
    request = collector.span("http/request")
    assert sent.kind == "client"
    assert (sent.trace_id, sent.parent) == (TRACE, request.span_id)
    assert sent.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.response.status_code": 204,
    }
    assert seen[0]["traceparent"] == f"00-{TRACE}-{sent.span_id}-01"
    assert seen[1]["traceparent"] == own["value"]
    failed = await asyncio.to_thread(
        collector.span, "exec_server.http_request", **{"error.type": "connect"}
    )
    assert failed.attributes["http.request.method"] == "_OTHER"
