"""Which variables turn telemetry on, and that nothing else does."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from exec_server.telemetry.settings import Signals, read_signals

GRPC = ("otlp_proto_grpc",)
HTTP = ("otlp_proto_http",)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Signals()),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Signals()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, Signals()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, Signals(GRPC, GRPC, GRPC)),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c"}, Signals(logs=GRPC)),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
                "OTEL_LOGS_EXPORTER": "none",
            },
            Signals(HTTP, GRPC),
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, Signals((*GRPC, "console"))),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"},
            Signals(),
        ),
    ],
)
def test_the_standard_variables_say_what_is_exported(
    environ: dict[str, str], expected: Signals
) -> None:
    assert read_signals(environ) == expected


def test_an_unknown_protocol_exports_nothing_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}
    with caplog.at_level(logging.WARNING):
        assert not read_signals(environ)
    assert "no traces are exported" in caplog.text


def test_a_server_without_telemetry_loads_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, exec_server.cli, exec_server.service\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'grpc')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "[]\n"
