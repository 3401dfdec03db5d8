"""Metrics that leave a server: sums by labels, whose values come from closed sets."""

from __future__ import annotations

from exec_server.telemetry import names
from exec_server.telemetry.gauges import GaugeSource
from exec_server.telemetry.meters import Meters
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint


def test_a_value_that_is_not_in_its_set_does_not_leave() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meters = Meters(provider.get_meter("test"), GaugeSource())
    meters.count(names.OUTPUT_BYTES, ("stdout",), 2)
    meters.count(names.OUTPUT_BYTES, ("stdout",), 3)
    meters.count(names.OUTPUT_BYTES, ("/home/somebody",), 1)
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == names.OUTPUT_BYTES.name and metric.data.data_points
    ]
    sums = {}
    for point in metric.data.data_points:
        assert isinstance(point, NumberDataPoint)
        sums[tuple((point.attributes or {}).values())] = point.value
    assert sums == {("stdout",): 5, (names.OTHER,): 1}
    provider.shutdown()
