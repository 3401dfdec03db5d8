"""Metrics of ``names`` behind OpenTelemetry's meter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from .gauges import GaugeSource
from .names import DURATION_BUCKETS_SECONDS, METRICS, OTHER, Metric, MetricKind

__all__ = ["Meters"]

_Labels = tuple[str, ...]


class Meters:
    """Counts and times. A label value that is not in its set becomes ``other``.

    Args:
        meter: Makes the instruments.
        gauges: Where the gauges come from.
        record: Takes the values of histograms instead of the meter.
    """

    def __init__(
        self,
        meter: Meter,
        gauges: GaugeSource,
        record: Callable[[Metric, tuple[str, ...], float], None] | None = None,
    ) -> None:
        self._record = record or self._record_by_meter
        self._totals: Final[dict[Metric, dict[_Labels, int]]] = {}
        self._allowed: dict[tuple[Metric, _Labels], _Labels] = {}
        self._histograms: dict[Metric, Histogram] = {}
        self._gauges = gauges
        for metric in METRICS.values():
            about = {"unit": metric.unit, "description": metric.description}
            if metric.kind is MetricKind.HISTOGRAM:
                if record is not None:
                    continue
                self._histograms[metric] = meter.create_histogram(
                    metric.name,
                    explicit_bucket_boundaries_advisory=DURATION_BUCKETS_SECONDS,
                    **about,
                )
            elif metric.kind is MetricKind.COUNTER:
                self._totals[metric] = {}
                meter.create_observable_counter(metric.name, [self._observe_total(metric)], **about)
            else:
                meter.create_observable_gauge(metric.name, [self._observe_gauge(metric)], **about)

    def count(self, metric: Metric, labels: _Labels, amount: int) -> None:
        """Add to a counter."""
        totals = self._totals[metric]
        if labels not in totals:
            labels = _checked(metric, labels)
        totals[labels] = totals.get(labels, 0) + amount

    def record(self, metric: Metric, value: float, labels: _Labels) -> None:
        """Add to a histogram."""
        allowed = self._allowed.get((metric, labels))
        if allowed is None:
            allowed = _checked(metric, labels)
            self._allowed[metric, allowed] = allowed
        self._record(metric, allowed, value)

    def _record_by_meter(self, metric: Metric, labels: _Labels, value: float) -> None:
        attributes = dict(zip(metric.labels, labels, strict=True))
        self._histograms[metric].record(value, attributes)

    def _observe_total(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        totals = self._totals[metric]

        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            return _observations(metric, list(totals.items()))

        return observe

    def _observe_gauge(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            return _observations(metric, list(self._gauges.read().get(metric, {}).items()))

        return observe


def _observations(metric: Metric, values: Sequence[tuple[_Labels, int]]) -> Iterable[Observation]:
    return [
        Observation(value, dict(zip(metric.labels, labels, strict=True)))
        for labels, value in values
    ]


def _checked(metric: Metric, labels: _Labels) -> _Labels:
    """Return the labels with everything replaced that is not allowed to leave."""
    return tuple(
        # Methods have no set here: who counts them has looked them up in the registry.
        value if not allowed or value in allowed else OTHER
        for value, allowed in zip(labels, metric.labels.values(), strict=True)
    )
