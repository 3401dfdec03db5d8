"""What telemetry costs a call: without it, switched off, exporting; a table of ratios.

``base`` is a build without telemetry: the same code with its calls taken out. All servers run
at once and are asked in turn, so that they see the same machine: by a plain program on the
same processor, so that the ratio is that of processor time, then by the client from another
one. Figures are medians of single calls of ``process/list``. A process that takes whatever is
sent stands for the collector. Nothing here fails; the table goes to ``bench/results/``.

    python bench/telemetry.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from exec_client import Client, ClientOptions, connect
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

RESULTS = Path(__file__).parent / "results"
WITHOUT = Path(__file__).with_name("without_telemetry.py")
SERVERS = 5
"""Of each kind, the quickest counts: how one has come to lie in memory makes up to a sixth."""
CALLS = 200
"""In a row, of one server: long enough to be warm, short enough that all see the same moment."""

PROCESSORS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""The servers share the first. Where the system puts them is luck otherwise, and to wake up
another processor takes longer than what is measured here."""

COLLECTOR = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
sys.stdin.read()
"""
"""Takes everything and looks at nothing: elsewhere, a collector has cores of its own."""


@contextlib.contextmanager
def collector() -> Iterator[dict[str, str]]:
    """Run a collector; yields the variables that make a program export to it."""
    command = [sys.executable, "-c", COLLECTOR]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().decode().strip()
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        process.communicate()


async def raw_calls(client: WireClient) -> list[float]:
    """Time calls of a client that costs nearly nothing."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        await client.call("process/list")
        times.append(time.perf_counter() - started)
    return times


async def client_calls(client: Client) -> list[float]:
    """The same with the ordinary client."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        await client.list_processes()
        times.append(time.perf_counter() - started)
    return times


def _tracing_options(endpoint: str) -> ClientOptions:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    points = OTLPMetricExporter(f"{endpoint}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(points)])
    return ClientOptions(tracer_provider=tracers, meter_provider=meters)


async def measure(urls: dict[tuple[str, int], str], endpoint: str, rounds: int) -> dict[str, float]:
    """Return the median of each row, in seconds."""
    calls: dict[tuple[str, int], list[float]] = {server: [] for server in urls}
    times: dict[str, list[float]] = {}
    raw = {server: await WireClient.ready(url) for server, url in urls.items()}
    for number in range(rounds):
        for server in sorted(raw, reverse=bool(number % 2)):
            calls[server] += await raw_calls(raw[server])
    for name in ("base", "off", "on"):
        lucky = min((calls[name, number] for number in range(SERVERS)), key=statistics.median)
        times[f"server_{name}"] = lucky
    _use(PROCESSORS[1:] or PROCESSORS)
    plain = await connect(urls["off", 0])
    for _ in range(rounds):
        times.setdefault("client_and_server_off", []).extend(await client_calls(plain))
    # From here on this process has OpenTelemetry loaded, so the client makes spans.
    traced = await connect(urls["on", 0], options=_tracing_options(endpoint))
    for _ in range(rounds):
        times.setdefault("client_and_server_on", []).extend(await client_calls(traced))
    await plain.aclose()
    await traced.aclose()
    for client in raw.values():
        await client.close()
    return {name: statistics.median(values) for name, values in times.items()}


def _use(processors: list[int]) -> None:
    """Have this program, and what it starts from now on, use these processors alone."""
    if processors:
        os.sched_setaffinity(0, processors)


def table(figures: dict[str, float]) -> str:
    """Return the rows with what they are compared with."""
    compared = {
        "server_off": "server_base",
        "server_on": "server_off",
        "client_and_server_on": "client_and_server_off",
    }
    lines = ["| row | median | compared with | ratio |", "|---|---|---|---|"]
    for name, value in figures.items():
        other = compared.get(name, "")
        ratio = f"{value / figures[other]:.3f}" if other else ""
        lines.append(f"| {name} | {value * 1e6:.1f} µs | {other} | {ratio} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    listen = ["--listen", "ws://127.0.0.1:0"]
    ours = [sys.executable, "-m", "exec_server", *listen]
    with collector() as exporting, contextlib.ExitStack() as stack:
        _use(PROCESSORS[:1])
        urls = {
            (name, number): stack.enter_context(
                ServerProcess(command=command, env={**os.environ, **env})
            ).url
            for number in range(SERVERS)
            for name, command, env in (
                ("base", [sys.executable, str(WITHOUT), *listen], {}),
                ("off", ours, {}),
                ("on", ours, exporting),
            )
        }
        endpoint = exporting["OTEL_EXPORTER_OTLP_ENDPOINT"]
        figures = asyncio.run(measure(urls, endpoint, rounds))
    text = table(figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "telemetry.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
