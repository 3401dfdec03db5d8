"""The span and the metrics of one request.

A request's span is made after its response has left, with the times that were taken, unless
something that belongs to it needs a parent before: recording costs as much as handling, and
a client that waits for its answer shall not wait for that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from exec_server_protocol.errors import INTERNAL_ERROR
from exec_server_protocol.rpc import Trace
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from . import names
from .carrier import Carrier, parse
from .current import NO_PARENT, Current

if TYPE_CHECKING:
    from .otel import OpenTelemetryInstruments

__all__ = ["RequestSpan"]

_OTHER_METHOD: Final = "_OTHER"
"""What the conventions put for a method that the protocol does not have."""
_ORIGINAL_CHARACTERS: Final = 64
"""Of such a method, as it came: longer than any real name."""

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_NO_STATE: Final = TraceState()

_Work = tuple[str, Mapping[str, str | int | bool], float, float]


class RequestSpan(Current):
    """A request; its span is made when something needs it, or in the end."""

    __slots__ = (
        "_began", "_carrier", "_context", "_ended", "_instruments", "_known", "_label", "_method",
        "_received", "_span", "_works",
    )  # fmt: skip

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
        self._context: SpanContext | None = None
        self._ended = False
        self._works: tuple[_Work, ...] = ()

    def context(self) -> Context:
        """Return the context of its span, which exists from now on."""
        return trace.set_span_in_context(self._make_span(), NO_PARENT)

    def _make_span(self) -> Span:
        if self._span is None:
            parent = self._parent()
            self._span = self._instruments.tracer.start_span(
                self._label,
                context=NO_PARENT if parent is None else _context_of(parent),
                kind=SpanKind.SERVER,
                attributes=self._attributes(),
                start_time=_wall_clock(self._received),
            )
        return self._span

    def _attributes(self) -> dict[str, str | int | bool]:
        if self._known:
            return {"rpc.system.name": "jsonrpc", "rpc.method": self._method}
        return {
            "rpc.system.name": "jsonrpc",
            "rpc.method": _OTHER_METHOD,
            "rpc.method_original": self._method[:_ORIGINAL_CHARACTERS],
        }

    def _parent(self) -> SpanContext | None:
        sent = self._carrier
        if sent is None or (sent.traceparent is None and sent.tracestate is None):
            return None
        carrier = parse(sent.traceparent, sent.tracestate)
        if carrier is None:
            self._instruments.carrier_ignored(self._label)
            return None
        return _remote(carrier)

    def add_below(
        self, name: str, attributes: Mapping[str, str | int | bool], began: float, ended: float
    ) -> None:
        """Add the span of something that is over. It waits until the request has been answered.

        Args:
            name: Of the span.
            attributes: Allowed ones.
            began: In the time of ``perf_counter``.
            ended: The same.
        """
        finished = self._instruments.finished_spans
        if self._span is None and finished is not None and not self._ended:
            self._works = (*self._works, (name, attributes, began, ended))
            return
        times_ns = (_wall_clock(began), _wall_clock(ended))
        if self._span is None and finished is not None:
            if self._context is not None:
                kind = SpanKind.INTERNAL
                finished.add(name, kind, self._context, attributes, times_ns, failed=False)
            return
        span = self._instruments.tracer.start_span(
            name, context=self.context(), attributes=attributes, start_time=times_ns[0]
        )
        span.end(times_ns[1])

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
        self._end_span(now, result, code)
        meters = self._instruments.meters
        waited = self._began - self._received
        meters.record(names.REQUEST_QUEUE_DURATION, waited, (self._label,))
        if result is not None:
            labels = (self._label, result)
            meters.count(names.REQUESTS, labels, 1)
            meters.record(names.REQUEST_DURATION, now - self._began, labels)
            meters.record(names.REQUEST_TOTAL_DURATION, now - self._received, labels)

    def _end_span(self, now: float, result: str | None, code: int | None) -> None:
        outcome: dict[str, str | int | bool] = {} if result is None else {"result": result}
        if code is not None:
            outcome["rpc.response.status_code"] = outcome["error.type"] = str(code)
        failed = code == INTERNAL_ERROR  # a refusal is the client's error, not the server's
        finished = self._instruments.finished_spans
        if self._span is None and finished is not None:
            end_ns = _wall_clock(now)
            begin_ns = end_ns - int((now - self._received) * 1e9)
            self._context = finished.add(
                self._label,
                SpanKind.SERVER,
                self._parent(),
                {**self._attributes(), **outcome},
                (begin_ns, end_ns),
                failed=failed,
            )
            self._ended = True
            for work in self._works:
                self.add_below(*work)
            return
        span = self._make_span()
        if span.is_recording():
            span.set_attributes(outcome)
            if failed:
                span.set_status(Status(StatusCode.ERROR))
            span.end(_wall_clock(now))


def _wall_clock(moment: float) -> int:
    """Return what the wall clock showed, in nanoseconds, at a moment of ``perf_counter``."""
    return time.time_ns() - int((time.perf_counter() - moment) * 1e9)


def _remote(carrier: Carrier) -> SpanContext:
    return SpanContext(
        carrier.trace_id,
        carrier.span_id,
        is_remote=True,
        trace_flags=_SAMPLED if carrier.sampled else _NOT_SAMPLED,
        trace_state=TraceState(list(carrier.state)) if carrier.state else _NO_STATE,
    )


def _context_of(span: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(span), NO_PARENT)
