"""Instruments that speak OpenTelemetry. Needs the API; an SDK behind it does the exporting.

A request's span is made after its response has left, with the times that were taken, unless
something that belongs to it needs a parent before: recording costs as much as handling, and
a client that waits for its answer shall not wait for that. Counters and gauges are plain
numbers, which the SDK asks for when it exports.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any, Final, TypeVar

from exec_server_protocol.errors import INTERNAL_ERROR
from exec_server_protocol.rpc import Trace
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
)

from . import names
from .carrier import Carrier, environment, parse
from .gauges import GaugeSource
from .instruments import ActiveSpan, Gauges, ObservedProcess, ObservedRequest
from .meters import Meters
from .names import Metric, SpanName

__all__ = ["OpenTelemetryInstruments"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SCOPE: Final = "exec_server"
_SYSTEM: Final = {"rpc.system.name": "jsonrpc"}
_OTHER_METHOD: Final = "_OTHER"
"""What the conventions put for a method that the protocol does not have."""
_ORIGINAL_CHARACTERS: Final = 64
"""Of such a method, as it came: longer than any real name."""

_WARN_EVERY_SECONDS: Final = 60.0
"""Who sends one bad carrier sends many."""

_NO_PARENT: Final = Context()


class OpenTelemetryInstruments:
    """Traces and measures with providers of OpenTelemetry.

    Args:
        tracer_provider: Makes spans; ``None`` for the global one.
        meter_provider: Makes metrics; ``None`` for the global one.
        trace_children: Tell children which span they belong to, in ``TRACEPARENT`` and
            ``TRACESTATE``.
        version: Of this package, for the instrumentation scope.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        *,
        trace_children: bool = True,
        version: str = "",
    ) -> None:
        self.tracer: Tracer = trace.get_tracer(_SCOPE, version, tracer_provider)
        self._gauges = GaugeSource()
        self.meters = Meters(metrics.get_meter(_SCOPE, version, meter_provider), self._gauges)
        self.trace_children = trace_children
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
        return _Request(self, method, trace, received, known=method in self._methods)

    def process(self) -> ObservedProcess:
        """Return what follows a process."""
        return _Process(self)

    def span(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ActiveSpan:
        """Return a span below the current one."""
        return _ActiveSpan(self, name, attributes or {})

    def correlation(self) -> Mapping[str, str]:
        """Return the ids of the current span."""
        current = _current.get()
        if current is None:
            return {}
        context = trace.get_current_span(current.context()).get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }


class _Parent:
    """Something that spans can belong to."""

    __slots__ = ()

    def context(self) -> Context:
        """Return the context in which its children begin."""
        raise NotImplementedError

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function; what it starts and what it logs belongs to this."""
        token = _current.set(self)
        try:
            return function(*arguments)
        finally:
            _current.reset(token)


_current: ContextVar[_Parent | None] = ContextVar("exec_server_current_span", default=None)


def current_context() -> Context:
    """Return the context of the current span; an empty one outside of any."""
    current = _current.get()
    return _NO_PARENT if current is None else current.context()


def _remote_context(carrier: Carrier) -> Context:
    remote = SpanContext(
        carrier.trace_id,
        carrier.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if carrier.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState(list(carrier.state)),
    )
    return trace.set_span_in_context(NonRecordingSpan(remote), _NO_PARENT)


class _Request(_Parent):
    """A request; its span is made when something needs it, or in the end."""

    __slots__ = (
        "_began",
        "_carrier",
        "_instruments",
        "_known",
        "_label",
        "_method",
        "_received",
        "_span",
    )

    def __init__(
        self,
        instruments: OpenTelemetryInstruments,
        method: str,
        carrier: Trace | None,
        received: float,
        *,
        known: bool,
    ) -> None:
        self._instruments = instruments
        self._method = method
        self._known = known
        self._label = method if known else names.UNKNOWN_METHOD
        self._carrier = carrier
        self._received = received
        self._began = time.perf_counter()
        self._span: Span | None = None

    def context(self) -> Context:
        """Return the context of its span, which exists from now on."""
        return trace.set_span_in_context(self._make_span(), _NO_PARENT)

    def _make_span(self) -> Span:
        if self._span is None:
            attributes = {**_SYSTEM, "rpc.method": self._method if self._known else _OTHER_METHOD}
            if not self._known:
                attributes["rpc.method_original"] = self._method[:_ORIGINAL_CHARACTERS]
            self._span = self._instruments.tracer.start_span(
                self._label,
                context=self._parent(),
                kind=SpanKind.SERVER,
                attributes=attributes,
                start_time=self._at(self._received),
            )
        return self._span

    def _parent(self) -> Context:
        sent = self._carrier
        if sent is None or (sent.traceparent is None and sent.tracestate is None):
            return _NO_PARENT
        carrier = parse(sent.traceparent, sent.tracestate)
        if carrier is None:
            self._instruments.carrier_ignored(self._label)
            return _NO_PARENT
        return _remote_context(carrier)

    @staticmethod
    def _at(moment: float) -> int:
        return time.time_ns() - int((time.perf_counter() - moment) * 1e9)

    # ------------------------------------------------------------------ how it ends

    def answered(self) -> None:
        """End with success."""
        self._end("success", None)

    def refused(self, code: int) -> None:
        """End with an error."""
        self._end("error", code)

    def abandoned(self) -> None:
        """End without a result."""
        self._end(None, None)

    def _end(self, result: str | None, code: int | None) -> None:
        now = time.perf_counter()
        span = self._make_span()
        if span.is_recording():
            if result is not None:
                span.set_attribute("result", result)
            if code is not None:
                span.set_attribute("rpc.response.status_code", str(code))
                span.set_attribute("error.type", str(code))
                if code == INTERNAL_ERROR:  # a refusal is the client's error, not the server's
                    span.set_status(Status(StatusCode.ERROR))
            span.end(self._at(now))
        meters = self._instruments.meters
        waited = self._began - self._received
        meters.record(names.REQUEST_QUEUE_DURATION, waited, (self._label,))
        if result is not None:
            labels = (self._label, result)
            meters.count(names.REQUESTS, labels, 1)
            meters.record(names.REQUEST_DURATION, now - self._began, labels)
            meters.record(names.REQUEST_TOTAL_DURATION, now - self._received, labels)


class _Process(_Parent):
    """A process. Its span ends with it, however long the request has been answered."""

    __slots__ = ("_began", "_instruments", "_span")

    def __init__(self, instruments: OpenTelemetryInstruments) -> None:
        self._instruments = instruments
        self._began = time.perf_counter()
        self._span = instruments.tracer.start_span(
            SpanName.PROCESS.value, context=current_context(), kind=SpanKind.INTERNAL
        )

    def context(self) -> Context:
        """Return the context of its span."""
        return trace.set_span_in_context(self._span, _NO_PARENT)

    def variables(self) -> Mapping[str, str]:
        """Return ``TRACEPARENT`` and ``TRACESTATE`` for the child."""
        context = self._span.get_span_context()
        if not self._instruments.trace_children or not context.is_valid:
            return {}
        carrier = Carrier(
            context.trace_id,
            context.span_id,
            context.trace_flags.sampled,
            tuple(context.trace_state.items()),
        )
        return environment(carrier)

    def started(self, *, tty: bool, sandboxed: bool) -> None:
        """The child runs."""
        self._span.set_attribute("tty", tty)
        self._span.set_attribute("sandboxed", sandboxed)
        self._instruments.count(names.PROCESS_STARTS, "success")

    def start_failed(self, *, cancelled: bool) -> None:
        """There was no process, so its span is let go of without an end."""
        self._instruments.count(names.PROCESS_STARTS, "cancelled" if cancelled else "error")

    def closed(self, exit_code: int, exit_class: str) -> None:
        """End."""
        result = exit_class if exit_class in ("success", "terminated") else "error"
        span = self._span
        if span.is_recording():
            span.set_attribute("process.exit.code", exit_code)
            span.set_attribute("result", result)
            span.set_attribute("exit_class", exit_class)
            span.end()
        meters = self._instruments.meters
        meters.count(names.PROCESSES_FINISHED, (result, exit_class), 1)
        meters.record(names.PROCESS_DURATION, time.perf_counter() - self._began, (result,))


class _ActiveSpan(_Parent):
    """A piece of work below a request."""

    __slots__ = ("_attributes", "_instruments", "_name", "_span", "_token")

    def __init__(
        self,
        instruments: OpenTelemetryInstruments,
        name: SpanName,
        attributes: Mapping[str, str | int | bool],
    ) -> None:
        self._instruments = instruments
        self._name = name
        self._attributes = attributes

    def context(self) -> Context:
        """Return its context."""
        return trace.set_span_in_context(self._span, _NO_PARENT)

    def set(self, attribute: str, value: str | int | bool) -> None:
        """Say more."""
        if attribute in names.SPANS[self._name]:
            self._span.set_attribute(attribute, value)

    def __enter__(self) -> ActiveSpan:
        allowed = names.SPANS[self._name]
        kind = SpanKind.CLIENT if self._name is SpanName.HTTP_REQUEST else SpanKind.INTERNAL
        self._span = self._instruments.tracer.start_span(
            self._name.value,
            context=current_context(),
            kind=kind,
            attributes={key: value for key, value in self._attributes.items() if key in allowed},
        )
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        _current.reset(self._token)
        if "result" in names.SPANS[self._name]:
            self._span.set_attribute("result", "success" if kind is None else "error")
        self._span.end()
