"""Spans and metrics of a client, for programs that use OpenTelemetry, and nothing for others.

A program that has set up tracing has imported ``opentelemetry``. Until it has, ``observing``
imports nothing and its hooks do nothing: importing the API alone would take longer than
connecting does.
"""
