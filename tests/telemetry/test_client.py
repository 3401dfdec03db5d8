"""What a client shows: calls, failures, connections, recoveries."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from exec_client import ClientOptions, ClientState, connect
from exec_server_protocol.errors import RpcError
from exec_server_protocol.rpc import Trace
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.otlp import Collector, ReceivedSpan
from exec_testkit.server import ServerProcess, program
from opentelemetry import trace

pytestmark = [pytest.mark.process, pytest.mark.slow]

MakeOptions = Callable[..., ClientOptions]


async def test_a_call_belongs_to_the_span_in_which_it_was_made(
    collector: Collector, options: MakeOptions
) -> None:
    wanted = options(collector)
    assert wanted.tracer_provider is not None
    tracer = wanted.tracer_provider.get_tracer("caller")
    with ServerProcess(env=collector.environ) as server:
        async with connect(server.url, options=wanted) as client:
            with tracer.start_as_current_span("caller") as span:
                # The start runs in a task of the client's own.
                done = await client.run(["sh", "-c", "echo $TRACEPARENT"])
            context = span.get_span_context()
        called = await asyncio.to_thread(collector.span, "process/start")
    spans = [s for s in collector.spans if s.name == "process/start"]
    call = next(s for s in spans if s.kind == "client")
    assert call.parent == trace.format_span_id(context.span_id)
    assert done.stdout.decode().split("-")[1] == trace.format_trace_id(context.trace_id)
    assert call.attributes == {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "process/start",
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }
    assert called.trace_id == call.trace_id


async def test_a_refused_call_is_an_error_with_its_code(
    collector: Collector, options: MakeOptions
) -> None:
    with ServerProcess(env=collector.environ) as server:
        async with connect(server.url, options=options(collector)) as client:
            with pytest.raises(RpcError):
                await client.start(["/no/such/program"])
            with pytest.raises(RpcError):
                await client.call("no/such-method")
        code = {"rpc.response.status_code": "-32603"}
        await asyncio.to_thread(collector.span, "process/start", **code)
        await asyncio.to_thread(collector.span, "unknown", **{"rpc.method": "_OTHER"})

        def counted() -> bool:
            requests = collector.latest("exec_server_client_requests_total")
            calls = collector.latest("rpc.client.call.duration")
            labels = (("method", "unknown"), ("result", "error"))
            return (
                requests is not None
                and requests.points.get(labels) == 1
                and calls is not None
                and calls.unit == "s"
            )

        await asyncio.to_thread(collector.wait_until, counted)
    failed = [s for s in collector.spans if s.name == "process/start"]
    status = {span.kind: span.status for span in failed}
    assert status == {"client": 2, "server": 2}  # -32603 is the server's own fault
    unknown = {span.kind: span.status for span in collector.spans if span.name == "unknown"}
    assert unknown == {"client": 2, "server": 0}


async def test_the_hook_replaces_the_span_s_context(
    collector: Collector, options: MakeOptions
) -> None:
    parent = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with ServerProcess(env=collector.environ) as server:
        async with connect(
            server.url, options=options(collector, trace=lambda _method: parent)
        ) as client:
            await client.list_processes()
        await asyncio.to_thread(collector.span, "process/list", result="success")
    span = next(s for s in collector.spans if s.kind == "server" and s.name == "process/list")
    assert span.parent == "b7ad6b7169203331"


async def test_a_recovery_is_linked_to_the_connection_that_was_lost(
    collector: Collector, options: MakeOptions
) -> None:
    with ServerProcess() as server:
        async with (
            FaultProxy(server.port) as proxy,
            connect(proxy.url, options=options(collector)) as client,
        ):
            for _ in range(2):
                changes = client.state_changes()
                proxy.cut_all()
                async for change in changes:
                    if change.new is ClientState.CONNECTED:
                        break
    await asyncio.to_thread(
        collector.wait_until,
        lambda: sum(span.name == "exec_client.recovery" for span in collector.spans) == 2,
    )

    def named(name: str) -> list[ReceivedSpan]:
        spans = (span for span in collector.spans if span.name == name)
        return sorted(spans, key=lambda span: span.start_ns)

    first, *later = [span for span in named("exec_client.connect") if not span.status]
    recoveries = named("exec_client.recovery")
    assert first.links == ()
    assert first.attributes["resume"] is False
    lost = first
    for recovery, connection in zip(recoveries, later, strict=True):
        assert recovery.parent == ""
        assert recovery.links == (lost.span_id,)
        assert recovery.attributes["result"] == "success"
        assert recovery.attributes["attempts"] >= 1
        assert connection.parent == recovery.span_id
        assert connection.links == (lost.span_id,)
        assert connection.trace_id == recovery.trace_id
        lost = connection
    handshakes = named("initialize")
    assert {span.parent for span in handshakes} >= {first.span_id, *(c.span_id for c in later)}


async def test_a_recovery_that_fails_says_so(collector: Collector, options: MakeOptions) -> None:
    wanted = options(collector, recovery_deadline=0.05)
    server = ServerProcess()
    async with connect(server.url, options=wanted) as client:
        changes = client.state_changes()
        server.close()
        async for change in changes:
            if change.new is ClientState.FAILED:
                break
    recovery = await asyncio.to_thread(collector.span, "exec_client.recovery")
    assert recovery.attributes["result"] == "error"
    assert recovery.attributes["error.type"] == "RecoveryDeadlineError"
    assert recovery.status == 2


def test_the_program_without_the_extra_says_what_to_install_and_works() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from exec_client.cli.program import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with ServerProcess() as server:
        command = [sys.executable, "-c", code, "run", "--url", server.url, "--", "echo", "hi"]
        done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert b"exec-client[otel]" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_the_program_ends_in_time_when_the_collector_hangs() -> None:
    with Collector(silent=True) as collector, ServerProcess() as server:
        command = [program("exec-client"), "run", "--url", server.url, "--", "sh", "-c", "exit 3"]
        done = subprocess.run(
            command, env=collector.environ, capture_output=True, timeout=20, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")
