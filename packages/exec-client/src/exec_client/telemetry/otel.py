"""The client's spans and metrics. Needs the API of OpenTelemetry; an SDK does the exporting.

============================ ======== ==========================================================
span                         kind     what it covers
============================ ======== ==========================================================
the method                   client   one attempt of one call, until its answer
``exec_client.connect``      internal one connection: socket, upgrade, handshake
``exec_client.recovery``     internal from the loss of a connection to the next one, caught up
============================ ======== ==========================================================

A recovery begins a trace of its own: it serves every call that waits and belongs to none. It
and the connection that it makes are linked to the connection that was lost.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import CancelledError
from collections.abc import Mapping
from contextvars import Token
from typing import Final
from urllib.parse import urlsplit

from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import REQUESTS
from exec_server_protocol.rpc import Trace
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from .late_spans import late_spans
from .meters import SCOPE, meters_of
from .observing import Observed

__all__ = ["OpenTelemetryClient"]

_OTHER_METHOD: Final = "_OTHER"
"""What the conventions put for a method that the protocol does not have."""
_UNKNOWN: Final = "unknown"
"""Stands for such a method where the reference client's names are used."""

_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


def _server_of(url: str) -> dict[str, str | int]:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:  # no URL: connecting says so, in its own words
        return {}
    return {"server.address": parts.hostname or "", "server.port": port}


class OpenTelemetryClient:
    """Makes the spans of one client.

    Args:
        url: Of the executor.
        tracer_provider: ``None`` for the global one.
        meter_provider: ``None`` for the global one.
    """

    def __init__(
        self,
        url: str,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
    ) -> None:
        self.tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self.late_spans = late_spans(self.tracer)
        self.meters = meters_of(meter_provider)
        self.server: Mapping[str, str | int] = _server_of(url)
        self.connected: SpanContext | None = None
        """The span that made the connection of now."""

    def call(self, method: str) -> Observed:
        """Return the span of a call, as a context manager."""
        return _Call(self, method)

    def connect(self, *, resume: bool) -> Observed:
        """Return the span of a connection that is being made."""
        return _Connect(self, resume=resume)

    def recovery(self) -> Observed:
        """Return the span of a recovery."""
        return _Recovery(self)

    @property
    def links(self) -> list[Link]:
        """Return a link to the present connection, which the next one follows."""
        return [] if self.connected is None else [Link(self.connected)]


def _carrier(context: SpanContext) -> Trace | None:
    if not context.is_valid:
        return None
    # Only the flag of level 1: compatible servers take any other for a mistake.
    flags = context.trace_flags & TraceFlags.SAMPLED
    return Trace(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}",
        context.trace_state.to_header() or None,
    )


def _error_type(error: BaseException) -> str:
    """Return the kind of an error: a code of the protocol or a class, never a text."""
    return str(error.code) if isinstance(error, RpcError) else type(error).__qualname__


class _Call:
    """One attempt of a call."""

    __slots__ = ("_began", "_began_ns", "_client", "_label", "_lineage", "_rpc", "_span")

    def __init__(self, client: OpenTelemetryClient, method: str) -> None:
        known = method in REQUESTS
        self._client = client
        self._label = method if known else _UNKNOWN
        self._rpc = {
            "rpc.system.name": "jsonrpc",
            "rpc.method": method if known else _OTHER_METHOD,
        }
        self._began = time.perf_counter()
        self._began_ns = time.time_ns()
        self._lineage = client.late_spans.begin() if client.late_spans is not None else None
        self._span: Span | None = None
        if self._lineage is None:
            span = client.tracer.start_span(
                self._label,
                kind=SpanKind.CLIENT,
                attributes={**self._rpc, **client.server},
                start_time=self._began_ns,
            )
            if not span.get_span_context().is_valid:
                # Without an SDK, releases of the API before 1.42 or so make no span that passes
                # the caller's context on.
                span = NonRecordingSpan(trace.get_current_span().get_span_context())
            self._span = span

    @property
    def trace(self) -> Trace | None:
        if self._lineage is not None:
            return _carrier(self._lineage[0])
        return None if self._span is None else _carrier(self._span.get_span_context())

    def recovered(self, attempts: int, size: int) -> None:
        raise NotImplementedError

    def __enter__(self) -> Observed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        # What is done about it can wait until the caller waits for something again.
        elapsed = time.perf_counter() - self._began
        asyncio.get_running_loop().call_soon(self._finish, error, elapsed)

    def _finish(self, error: BaseException | None, elapsed: float) -> None:
        outcome: dict[str, str] = {}
        if error is not None:
            outcome["error.type"] = _error_type(error)
            if isinstance(error, RpcError):
                outcome["rpc.response.status_code"] = str(error.code)
        # A cancelled call was wanted to end like that.
        failed = error is not None and not isinstance(error, CancelledError)
        self._finish_span(outcome, _ERROR if failed else _UNSET, elapsed)
        meters = self._client.meters
        meters.count_request(self._label, "success" if error is None else "error")
        outcome.pop("rpc.response.status_code", None)
        meters.call_duration.record(elapsed, {**self._rpc, **outcome})

    def _finish_span(self, outcome: Mapping[str, str], status: Status, elapsed: float) -> None:
        end_ns = self._began_ns + int(elapsed * 1e9)
        late = self._client.late_spans
        if self._lineage is not None and late is not None:
            attributes = {**self._rpc, **self._client.server, **outcome}
            times_ns = (self._began_ns, end_ns)
            late.end(self._label, self._lineage, attributes, times_ns, status)
        elif self._span is not None:
            self._span.set_attributes(outcome)
            if status is _ERROR:
                self._span.set_status(status)
            self._span.end(end_ns)


class _Work:
    """Work with a span that is the current one inside the block."""

    _token: Token[Context]

    def __init__(self, client: OpenTelemetryClient, span: Span) -> None:
        self._client = client
        self._span = span
        self._began = time.perf_counter()

    @property
    def trace(self) -> Trace | None:
        return _carrier(self._span.get_span_context())

    def recovered(self, attempts: int, size: int) -> None:
        self._span.set_attribute("attempts", attempts)
        self._span.set_attribute("recovered_bytes", size)

    def __enter__(self) -> Observed:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        otel_context.detach(self._token)
        self._span.set_attribute("result", "success" if error is None else "error")
        if error is not None:
            self._span.set_attribute("error.type", _error_type(error))
            if not isinstance(error, CancelledError):
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Connect(_Work):
    """A connection that is being made."""

    def __init__(self, client: OpenTelemetryClient, *, resume: bool) -> None:
        span = client.tracer.start_span(
            "exec_client.connect",
            attributes={**client.server, "resume": resume},
            links=client.links,
        )
        super().__init__(client, span)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        super().__exit__(kind, error, traceback)
        if error is None:
            self._client.connected = self._span.get_span_context()


class _Recovery(_Work):
    """A recovery."""

    def __init__(self, client: OpenTelemetryClient) -> None:
        span = client.tracer.start_span(
            "exec_client.recovery",
            context=Context(),
            attributes=client.server,
            links=client.links,
        )
        super().__init__(client, span)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        super().__exit__(kind, error, traceback)
        result = "success" if error is None else "error"
        elapsed = time.perf_counter() - self._began
        self._client.meters.recovery_duration.record(elapsed, {"result": result})
