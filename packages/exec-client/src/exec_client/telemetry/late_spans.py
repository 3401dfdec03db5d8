"""Spans of calls that are put together when they are over, where that makes no difference.

A call has nothing below it in this program: all that it needs before it is sent is an id.
Starting a span with the SDK takes as long as everything else that the client does for a
call, and the caller waits for it. So where the SDK is the plain one - its default sampler,
its own processors, which do nothing when a span begins - the finished span is made behind
the caller and handed to the processors. Anything else gets its spans in the ordinary way.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceFlags, TraceState

from .meters import SCOPE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer as SdkTracer

__all__ = ["LateSpans", "Lineage", "late_spans"]

_NO_STATE: Final = TraceState()

Lineage = tuple[SpanContext, SpanContext | None]
"""What a span is called, and what its parent is."""


def late_spans(tracer: trace.Tracer) -> LateSpans | None:
    """Return where late spans of a tracer go, or ``None`` when it is not the SDK's."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    return LateSpans(tracer) if sdk is not None and isinstance(tracer, sdk.Tracer) else None


class LateSpans:
    """Names spans, and makes them when they are over.

    Args:
        tracer: Of the SDK.
    """

    def __init__(self, tracer: SdkTracer) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.sdk.trace.sampling import DEFAULT_ON
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._tracer = tracer
        self._make_span = ReadableSpan
        self._scope = InstrumentationScope(SCOPE)
        self._sampler = DEFAULT_ON
        self._ordinary = (BatchSpanProcessor, SimpleSpanProcessor)
        self._processors: Any = None
        self._are_ordinary = False

    def _is_plain(self) -> bool:
        """Whether nobody would notice; processors may have been added since the last time."""
        processors = getattr(self._tracer.span_processor, "_span_processors", None)
        if processors is not self._processors:
            self._processors = processors
            self._are_ordinary = all(type(one) in self._ordinary for one in processors or ())
        return self._are_ordinary and self._tracer.sampler is self._sampler

    def begin(self) -> Lineage | None:
        """Return what a span that begins now is called; ``None`` when it has to be started."""
        if not self._is_plain():
            return None
        parent: SpanContext | None = trace.get_current_span().get_span_context()
        if parent is None or not parent.is_valid:
            parent = None
        ids = self._tracer.id_generator
        context = SpanContext(
            ids.generate_trace_id() if parent is None else parent.trace_id,
            ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED) if parent is None else parent.trace_flags,
            trace_state=_NO_STATE if parent is None else parent.trace_state,
        )
        return context, parent

    def end(
        self,
        name: str,
        lineage: Lineage,
        attributes: Mapping[str, str | int],
        times_ns: tuple[int, int],
        status: Status,
    ) -> None:
        """Make the span of a call, unless its trace is not sampled."""
        context, parent = lineage
        if not context.trace_flags.sampled:
            return
        span = self._make_span(
            name,
            context,
            parent,
            self._tracer.resource,
            attributes,
            kind=SpanKind.CLIENT,
            status=status,
            start_time=times_ns[0],
            end_time=times_ns[1],
            instrumentation_scope=self._scope,
        )
        self._tracer.span_processor.on_end(span)
