"""Settings of the exported signals, from the standard ``OTEL_*`` variables.

Without any of them nothing is: the OpenTelemetry specification would send everything to
``localhost`` then. Variables that say how to export (endpoints, headers, batches, intervals,
sampling) are read by the SDK itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Signals", "read_signals"]

logger = logging.getLogger(__name__)

_PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_DEFAULT_PROTOCOL: Final = "grpc"
"""As in every Python program that is configured by these variables."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Names of the exporters of each signal, as installed packages declare them."""

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics or self.logs)


def read_signals(environ: Mapping[str, str]) -> Signals:
    """Return what the variables ask for."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Signals()
    return Signals(
        traces=_exporters(environ, "TRACES"),
        metrics=_exporters(environ, "METRICS"),
        logs=_exporters(environ, "LOGS"),
    )


def _exporters(environ: Mapping[str, str], signal: str) -> tuple[str, ...]:
    text = environ.get(f"OTEL_{signal}_EXPORTER", "").strip()
    if not text:
        # A variable that is empty counts as absent; so says the specification.
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        text = "otlp" if any(environ.get(name) for name in endpoints) else "none"
    words = [word.strip() for word in text.split(",")]
    exporters = (_exporter(environ, signal, word) for word in words if word not in ("", "none"))
    return tuple(exporter for exporter in exporters if exporter)


def _exporter(environ: Mapping[str, str], signal: str, name: str) -> str:
    if name != "otlp":
        return name
    variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    protocol = environ.get(variable) or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or ""
    exporter = _PROTOCOLS.get(protocol.strip() or _DEFAULT_PROTOCOL, "")
    if not exporter:
        logger.warning("telemetry: no such OTLP protocol: no %s are exported", signal.lower())
    return exporter
