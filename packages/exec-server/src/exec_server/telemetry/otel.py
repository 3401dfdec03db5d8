"""Instruments that speak OpenTelemetry. Needs the API; an SDK behind it does the exporting.

Counters and gauges are plain numbers, which the SDK asks for when it exports.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from exec_server_protocol.rpc import Trace
from opentelemetry import metrics, trace
from opentelemetry.trace import Tracer

from .current import correlation
from .gauges import GaugeSource
from .instruments import (
    ActiveSpan,
    Gauges,
    ObservedProcess,
    ObservedRequest,
    ObservedWork,
)
from .meters import Meters
from .names import Metric, SpanName
from .request_span import RequestSpan
from .work_span import LateSpan, ProcessSpan, WorkSpan

if TYPE_CHECKING:
    from .finished_spans import FinishedSpans

__all__ = ["SCOPE", "OpenTelemetryInstruments"]

logger = logging.getLogger(__name__)

SCOPE: Final = "exec_server"
_WARN_EVERY_SECONDS: Final = 60.0
"""Who sends one bad carrier sends many."""


class OpenTelemetryInstruments:
    """Traces and measures with providers of OpenTelemetry.

    Args:
        tracer_provider: Makes spans; ``None`` for the global one.
        meter_provider: Makes metrics; ``None`` for the global one.
        propagate: Hand the trace on: to children in ``TRACEPARENT`` and ``TRACESTATE``, to the
            origins of HTTP requests in headers.
        version: Of this package, for the instrumentation scope.
        record: Takes the values of histograms instead of the meter; see ``histograms``.
        finished_spans: Takes spans of requests that are over, instead of the tracer.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        *,
        propagate: bool = True,
        version: str = "",
        record: Callable[[Metric, tuple[str, ...], float], None] | None = None,
        finished_spans: FinishedSpans | None = None,
    ) -> None:
        self.tracer: Tracer = trace.get_tracer(SCOPE, version, tracer_provider)
        self._gauges = GaugeSource()
        meter = metrics.get_meter(SCOPE, version, meter_provider)
        self.meters = Meters(meter, self._gauges, record)
        self.finished_spans = finished_spans
        self.propagate = propagate
        self._warned_at = float("-inf")

    @cached_property
    def _methods(self) -> frozenset[str]:
        from exec_server_protocol.methods import REQUESTS  # loaded once there is a client

        return frozenset(REQUESTS)

    def carrier_ignored(self, method: str) -> None:
        """Say that a client sends trace contexts that mean nothing; not for each of them."""
        now = time.monotonic()
        if now - self._warned_at >= _WARN_EVERY_SECONDS:
            self._warned_at = now
            logger.warning("ignoring an invalid inbound trace carrier: %s", method)

    def clock(self) -> float:
        """Return the time in seconds."""
        return time.perf_counter()

    def count(self, metric: Metric, *labels: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.meters.count(metric, labels, amount)

    def record(self, metric: Metric, since: float, *labels: str) -> None:
        """Add the time since ``since`` to a histogram."""
        self.meters.record(metric, time.perf_counter() - since, labels)

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Ask this for the gauges, on the event loop that calls this now."""
        self._gauges.watch(gauges)

    def request(self, method: str, trace: Trace | None, received: float) -> ObservedRequest:
        """Return what follows a request."""
        return RequestSpan(self, method, trace, received, known=method in self._methods)

    def process(self) -> ObservedProcess:
        """Return what follows a process."""
        return ProcessSpan(self)

    def span(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ActiveSpan:
        """Return a span below the current one."""
        return WorkSpan(self, name, attributes or {})

    def work(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ObservedWork:
        """Return the same for work that callbacks carry out."""
        return LateSpan(self, name, attributes or {})

    def correlation(self) -> Mapping[str, str]:
        """Return the ids of the current span."""
        return correlation()
