"""Traces between our client and the reference server, and what its client would send to ours."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_client import ClientOptions, connect
from exec_server_protocol.rpc import Trace
from exec_testkit.codex_turn import Job, call, run_isolated
from exec_testkit.otlp import Collector
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

pytestmark = pytest.mark.process
WAIT_S = 30.0

CONFIG = """
[analytics]
enabled = true
[otel]
environment = "test"
trace_exporter = {{ otlp-http = {{ endpoint = "{0}/v1/traces", protocol = "binary" }} }}
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def tracing_reference(tmp_path: Path, collector: Collector) -> Iterator[ServerProcess]:
    """The reference server, exporting its spans."""
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference server")
    (tmp_path / "config.toml").write_text(CONFIG.format(collector.endpoint), encoding="utf-8")
    command = [program, "exec-server", "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(command=command, env={**os.environ, "CODEX_HOME": str(tmp_path)}) as server:
        yield server


async def test_the_reference_takes_our_trace_and_goes_on_with_it(
    tracing_reference: ServerProcess, collector: Collector
) -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{collector.endpoint}/v1/traces")
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    options = ClientOptions(tracer_provider=tracers)
    async with asyncio.timeout(WAIT_S), connect(tracing_reference.url, options=options) as client:
        done = await client.run(["sh", "-c", "echo out; exit 3"])
        assert (done.returncode, done.stdout) == (3, b"out\n")
    tracing_reference.signal(15)
    await asyncio.to_thread(tracing_reference.wait)

    def joined() -> bool:
        spans = [span for span in collector.spans if span.name == "process/start"]
        return {span.kind for span in spans} == {"client", "server"}

    await asyncio.to_thread(collector.wait_until, joined)
    tracers.shutdown()
    spans = {span.kind: span for span in collector.spans if span.name == "process/start"}
    assert spans["server"].parent == spans["client"].span_id
    assert spans["server"].trace_id == spans["client"].trace_id


@pytest.mark.parametrize(
    "trace",
    [
        Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1"),
        Trace("garbage", "b" * 10_000),
        Trace(None, "a=1"),
    ],
    ids=["valid", "garbage", "state only"],
)
async def test_the_reference_runs_a_request_whatever_its_trace(
    trace: Trace, reference: ServerProcess
) -> None:
    options = ClientOptions(trace=lambda _method: trace)
    async with asyncio.timeout(WAIT_S), connect(reference.url, options=options) as client:
        assert (await client.run(["true"])).returncode == 0


SOUND: list[Any] = [
    *(
        None,
        {},
        [],
        ["p"],
        ["p", "s"],
        [None, None],
        {"traceparent": None, "tracestate": None},
        {"traceparent": "garbage"},
    ),
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "other": 1},
]
MALFORMED: list[Any] = ["text", 5, {"traceparent": 5}, {"tracestate": []}, [1], ["p", "s", "more"]]


@pytest.mark.parametrize("carrier", [*SOUND, *MALFORMED], ids=json.dumps)
async def test_both_servers_take_and_refuse_the_same_carriers(
    carrier: Any, reference: ServerProcess, collector: Collector
) -> None:
    """Theirs is the contract: what their client may send, ours takes."""
    message = {"id": 7, "method": "environment/info", "params": {}, "trace": carrier}
    outcomes = []
    with ServerProcess(env=collector.environ) as ours:
        for url in (reference.url, ours.url):
            client = await WireClient.ready(url)
            await client.send_raw(json.dumps(message))
            malformed = carrier in MALFORMED
            outcomes.append(await client.outcome(-1 if malformed else 7))
            await client.close()
    assert outcomes[0] == outcomes[1] == (-32600 if malformed else 0)


def test_the_spans_of_the_real_client_are_the_parents_of_ours() -> None:
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference client")
    command = call("exec_command", "only", cmd="echo traced", workdir="@WORKSPACE@")
    arguments = ["--dangerously-bypass-approvals-and-sandbox"]
    outcome = run_isolated(Job(program, [command], arguments, traced=True))
    assert outcome.status == 0, outcome.log
    assert "traced" in outcome.outputs["only"]
    ours = [span for span in outcome.spans if span[0] == "exec-server" and span[2] == "server"]
    theirs = {span[3]: span for span in outcome.spans if span[0] != "exec-server"}
    starts = [span for span in ours if span[1] == "process/start"]
    assert starts
    for _, name, _, _, parent in starts:
        assert theirs[parent][1:3] == [name, "client"]
    assert "invalid inbound trace" not in outcome.log
