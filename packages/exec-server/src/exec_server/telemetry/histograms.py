"""Histograms that cost a tenth of the SDK's: two additions a value, and arithmetic at export.

A request has three durations. Recorded by the SDK they take as long as the request itself;
so the buckets are kept here, and an exporter puts them beside what the SDK has collected.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import Metric as ExportedMetric

from .names import DURATION_BUCKETS_SECONDS, Metric

__all__ = ["Histograms", "WithHistograms"]

_BUCKETS: Final = len(DURATION_BUCKETS_SECONDS) + 1

_Labels = tuple[str, ...]


@dataclass(slots=True)
class _Series:
    """Values with the same labels. Written on the event loop, copied by the exporter."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def copy(self) -> _Series:
        return _Series(list(self.counts), self.total, self.low, self.high)

    def since(self, before: _Series) -> _Series:
        """Values since ``before``; their extremes are not known, so all of them stand."""
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        return _Series(counts, self.total - before.total, self.low, self.high)


class Histograms:
    """The values of all histograms of a server."""

    def __init__(self) -> None:
        self.series: dict[tuple[Metric, _Labels], _Series] = {}
        self.began_ns = time.time_ns()

    def record(self, metric: Metric, labels: _Labels, value: float) -> None:
        """Add a value. The labels are allowed ones."""
        series = self.series.get((metric, labels))
        if series is None:
            series = self.series[metric, labels] = _Series()
        series.counts[bisect_left(DURATION_BUCKETS_SECONDS, value)] += 1
        series.total += value
        if value < series.low:
            series.low = value
        if value > series.high:
            series.high = value


class WithHistograms(MetricExporter):
    """An exporter that adds the histograms to what it is given.

    Args:
        exporter: Sends it all.
        histograms: Where they are.
    """

    def __init__(self, exporter: MetricExporter, histograms: Histograms) -> None:
        temporality = getattr(exporter, "_preferred_temporality", None)
        super().__init__(temporality, getattr(exporter, "_preferred_aggregation", None))
        self._exporter = exporter
        self._histograms = histograms
        cumulative = AggregationTemporality.CUMULATIVE
        self._temporality = (temporality or {}).get(HistogramInstrument, cumulative)
        self._before: dict[tuple[Metric, _Labels], _Series] = {}
        self._exported_ns = histograms.began_ns

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Export both."""
        found = self._collect()
        if found and metrics_data.resource_metrics:
            # Beside the others of the same scope: encoders take each scope once.
            resource, *others = metrics_data.resource_metrics
            scope, *rest = resource.scope_metrics
            scope = replace(scope, metrics=[*scope.metrics, *found])
            resource = replace(resource, scope_metrics=[scope, *rest])
            metrics_data = replace(metrics_data, resource_metrics=[resource, *others])
        return self._exporter.export(metrics_data, timeout_millis, **options)

    def _collect(self) -> list[ExportedMetric]:
        now = time.time_ns()
        since = self._histograms.began_ns
        if self._temporality is AggregationTemporality.DELTA:
            since, self._exported_ns = self._exported_ns, now
        points: dict[Metric, list[HistogramDataPoint]] = {}
        for (metric, labels), live in list(self._histograms.series.items()):
            series = live.copy()
            if self._temporality is AggregationTemporality.DELTA:
                before = self._before.get((metric, labels))
                self._before[metric, labels] = series
                series = series if before is None else series.since(before)
            if not any(series.counts):
                continue
            point = HistogramDataPoint(
                attributes=dict(zip(metric.labels, labels, strict=True)),
                start_time_unix_nano=since,
                time_unix_nano=now,
                count=sum(series.counts),
                sum=series.total,
                bucket_counts=series.counts,
                explicit_bounds=DURATION_BUCKETS_SECONDS,
                min=series.low,
                max=series.high,
            )
            points.setdefault(metric, []).append(point)
        return [
            ExportedMetric(
                metric.name, metric.description, metric.unit, Histogram(found, self._temporality)
            )
            for metric, found in points.items()
        ]

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Pass it on."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """Pass it on."""
        self._exporter.shutdown(timeout_millis, **options)
