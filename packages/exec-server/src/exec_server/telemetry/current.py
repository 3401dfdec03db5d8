"""Current span: the parent of new spans, and the one that log records name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context

__all__ = ["NO_PARENT", "Current", "correlation", "current", "current_context"]

T = TypeVar("T")

NO_PARENT: Final = Context()
"""Begins a trace, whatever OpenTelemetry's own current span is."""


class Current:
    """Something that spans can belong to."""

    __slots__ = ()

    def context(self) -> Context:
        """Return the context in which its children begin."""
        raise NotImplementedError

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function; what it starts and what it logs belongs to this."""
        token = current.set(self)
        try:
            return function(*arguments)
        finally:
            current.reset(token)


current: ContextVar[Current | None] = ContextVar("exec_server.current_span", default=None)


def current_context() -> Context:
    """Return the context of the current span; an empty one outside of any."""
    now = current.get()
    return NO_PARENT if now is None else now.context()


def correlation() -> Mapping[str, str]:
    """Return ``trace_id`` and ``span_id`` of the current span, or nothing outside of any."""
    context = trace.get_current_span(current_context()).get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
