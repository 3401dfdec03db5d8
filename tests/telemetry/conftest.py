"""A collector and servers that export to it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from exec_testkit.otlp import Collector


@pytest.fixture(params=["http/protobuf", "grpc"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with Collector(request.param) as running:
        yield running


@pytest.fixture
def exporting(collector: Collector) -> dict[str, str]:
    """The environment of a program that exports to the collector, soon and often."""
    return {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": collector.protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BLRP_SCHEDULE_DELAY": "50",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
