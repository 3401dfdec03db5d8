"""Draw a trace that a collector really got, over a client, a server and a child program.

``exec-client run`` starts a program on an ``exec-server``; the program exports a span of its
own. All of them export to a collector of the test kit, and what arrives is drawn as SVG.

    python scripts/draw_trace.py [docs/observability-trace.svg]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from exec_testkit.otlp import Collector, ReceivedSpan
from exec_testkit.server import ServerProcess, program

OUTPUT = Path(__file__).parents[1] / "docs" / "observability-trace.svg"

CHILD = """
import os, time
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

provider = TracerProvider(resource=Resource({"service.name": "child program"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
carrier = {name.lower(): os.environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
parent = TraceContextTextMapPropagator().extract(carrier)
with provider.get_tracer("child").start_as_current_span("compile", context=parent):
    time.sleep(0.15)
provider.shutdown()
"""

ROW, TOP, LEFT, WIDTH, RIGHT = 26, 70, 330, 620, 90
COLOURS = {"exec-client": "#4f7cac", "exec-server": "#b5651d", "child program": "#5a8f5a"}


def record() -> list[ReceivedSpan]:
    """Run the three programs; return the spans in the order of the tree."""
    with Collector() as collector, tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "child.py"
        script.write_text(CHILD, encoding="utf-8")
        with ServerProcess(env=collector.environ) as server:
            command = [program("exec-client"), "run", "--url", server.url]
            endpoint = f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.endpoint}"
            command += ["--env", endpoint, "--", sys.executable, str(script)]
            subprocess.run(command, env=collector.environ, check=True, timeout=60)
            collector.span("exec_server.process")
            collector.span("compile")
            root = collector.span("exec-client run")
        return list(_tree(collector.spans, root))


def _tree(spans: list[ReceivedSpan], root: ReceivedSpan) -> Iterator[ReceivedSpan]:
    yield root
    children = [span for span in spans if span.parent == root.span_id]
    for child in sorted(children, key=lambda span: span.start_ns):
        yield from _tree(spans, child)


def draw(spans: list[ReceivedSpan]) -> str:
    """Return the picture: a row a span, indented below its parent, time to the right."""
    begin = min(span.start_ns for span in spans)
    scale = WIDTH / (max(span.end_ns for span in spans) - begin)
    depth: dict[str, int] = {}
    height = TOP + ROW * len(spans) + 20
    total = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" '
        f'font-family="sans-serif" font-size="13">',
        f'<rect width="{total}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="bold">One trace, '
        f"{len(spans)} spans, {(max(s.end_ns for s in spans) - begin) / 1e6:.0f} ms</text>",
    ]
    for number, (service, colour) in enumerate(COLOURS.items()):
        x = 16 + 150 * number
        parts.append(f'<rect x="{x}" y="40" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="51">{escape(service)}</text>')
    for row, span in enumerate(spans):
        depth[span.span_id] = depth.get(span.parent, -1) + 1
        y = TOP + ROW * row
        left = LEFT + (span.start_ns - begin) * scale
        length = max((span.end_ns - span.start_ns) * scale, 2)
        took = f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms"
        title = " ".join(f"{name}={value}" for name, value in sorted(span.attributes.items()))
        if row % 2 == 0:
            parts.append(f'<rect x="0" y="{y}" width="{total}" height="{ROW}" fill="#f5f5f2"/>')
        parts += [
            f'<text x="{16 + 16 * depth[span.span_id]}" y="{y + 17}">{escape(span.name)} '
            f'<tspan fill="#888888">{span.kind}</tspan></text>',
            f'<rect x="{left:.1f}" y="{y + 6}" width="{length:.1f}" height="14" rx="2" '
            f'fill="{COLOURS[span.service]}"><title>{escape(title)}</title></rect>',
            f'<text x="{left + length + 6:.1f}" y="{y + 17}" fill="#555555">{took}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Record and draw."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    spans = record()
    output.write_text(draw(spans), encoding="utf-8")
    print(f"{len(spans)} spans → {output.name}")


if __name__ == "__main__":
    main()
