"""Telemetry of a server: traces, metrics, correlated logs.

``instruments`` is what the rest of the server talks to, and it imports nothing. What is
exported, and with which attributes, is in ``names``. Only ``otel`` and ``providers`` import
OpenTelemetry, and they are imported only when telemetry is configured.
"""
