"""The spans of a process and of a piece of work below a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from . import names
from .carrier import Carrier, environment
from .current import NO_PARENT, Current, current, current_context
from .instruments import ActiveSpan
from .names import SpanName
from .request_span import RequestSpan

if TYPE_CHECKING:
    from .otel import OpenTelemetryInstruments

__all__ = ["LateSpan", "ProcessSpan", "WorkSpan"]


class ProcessSpan(Current):
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
        return trace.set_span_in_context(self._span, NO_PARENT)

    def variables(self) -> Mapping[str, str]:
        """Return ``TRACEPARENT`` and ``TRACESTATE`` for the child."""
        return _variables(self._span) if self._instruments.propagate else {}

    def started(self, *, tty: bool, sandboxed: bool) -> None:
        """The child runs."""
        self._span.set_attribute("tty", tty)
        self._span.set_attribute("sandboxed", sandboxed)
        self._instruments.count(names.PROCESS_STARTS, "success")

    def start_failed(self, *, cancelled: bool) -> None:
        """Drop the span without an end: there was no process."""
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


class WorkSpan(Current):
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
        return trace.set_span_in_context(self._span, NO_PARENT)

    def set(self, attribute: str, value: str | int | bool) -> None:
        """Say more."""
        if attribute in names.SPANS[self._name]:
            self._span.set_attribute(attribute, value)

    def headers(self) -> Mapping[str, str]:
        """Return ``traceparent`` and ``tracestate``."""
        if not self._instruments.propagate:
            return {}
        return {name.lower(): value for name, value in _variables(self._span).items()}

    def __enter__(self) -> ActiveSpan:
        allowed = names.SPANS[self._name]
        kind = SpanKind.CLIENT if self._name is SpanName.HTTP_REQUEST else SpanKind.INTERNAL
        self._span = self._instruments.tracer.start_span(
            self._name.value,
            context=current_context(),
            kind=kind,
            attributes={key: value for key, value in self._attributes.items() if key in allowed},
        )
        self._token = current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        current.reset(self._token)
        if "result" in names.SPANS[self._name]:
            self._span.set_attribute("result", "success" if kind is None else "error")
        self._span.end()


class LateSpan:
    """A piece of work below a request; its span is made when it is over."""

    __slots__ = ("_attributes", "_began", "_begun", "_instruments", "_name", "_parent")

    def __init__(
        self,
        instruments: OpenTelemetryInstruments,
        name: SpanName,
        attributes: Mapping[str, str | int | bool],
    ) -> None:
        self._instruments = instruments
        self._name = name
        self._attributes = dict(attributes)
        self._parent = current.get()
        self._began = time.perf_counter()
        self._begun = False

    def begun(self, queue: str) -> None:
        """Begin now, and count what was before as waiting."""
        if not self._begun:
            self._begun = True
            self._instruments.record(names.QUEUE_DURATION, self._began, queue)
            self._began = time.perf_counter()

    def set(self, attribute: str, value: str | int | bool) -> None:
        """Say more."""
        self._attributes[attribute] = value

    def ended(self, *, failed: bool) -> None:
        """Make the span."""
        allowed = names.SPANS[self._name]
        self._attributes["result"] = "error" if failed else "success"
        attributes = {key: value for key, value in self._attributes.items() if key in allowed}
        if isinstance(self._parent, RequestSpan):
            now = time.perf_counter()
            self._parent.add_below(self._name.value, attributes, self._began, now)


def _variables(span: Span) -> Mapping[str, str]:
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    carrier = Carrier(
        context.trace_id,
        context.span_id,
        context.trace_flags.sampled,
        tuple(context.trace_state.items()),
    )
    return environment(carrier)
