"""The client's metrics, shared by all clients of a program that use the same provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["SCOPE", "Meters", "meters_of"]

SCOPE: Final = "exec_client"

_CALL_BUCKETS_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10),
)
"""As the conventions advise for calls."""
_RECOVERY_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 30, 60)
"""Up to the deadline, 25 s unless it is set, and what may come after it."""


class Meters:
    """Counts and times. Counting is an addition; the provider asks for the sum."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = metrics.get_meter(SCOPE, meter_provider=provider)
        self._requests: dict[tuple[str, str], int] = {}
        meter.create_observable_counter(
            "exec_server_client_requests_total",
            [self._observe_requests],
            description="Attempts of calls, those that failed on this side included.",
        )
        self.call_duration = meter.create_histogram(
            "rpc.client.call.duration",
            "s",
            "From a call to its answer.",
            explicit_bucket_boundaries_advisory=_CALL_BUCKETS_SECONDS,
        )
        self.recovery_duration = meter.create_histogram(
            "exec_client_recovery_duration_seconds",
            "s",
            "From the loss of a connection to the end of the recovery.",
            explicit_bucket_boundaries_advisory=_RECOVERY_BUCKETS_SECONDS,
        )

    def count_request(self, method: str, result: str) -> None:
        """Count an attempt of a call. The method is one of the protocol, or ``unknown``."""
        key = (method, result)
        self._requests[key] = self._requests.get(key, 0) + 1

    def _observe_requests(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {"method": method, "result": result})
            for (method, result), count in list(self._requests.items())
        ]


_of_provider: WeakKeyDictionary[MeterProvider, Meters] = WeakKeyDictionary()
_global: list[Meters] = []


def meters_of(provider: MeterProvider | None) -> Meters:
    """Return the metrics of a provider, ``None`` for the global one."""
    if provider is None:
        if not _global:
            _global.append(Meters(None))
        return _global[0]
    found = _of_provider.get(provider)
    if found is None:
        found = _of_provider[provider] = Meters(provider)
    return found
