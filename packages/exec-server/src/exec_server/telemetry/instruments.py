"""Interface to telemetry for the rest of the server, and an implementation that does nothing.

The server calls these methods wherever something happens that an operator may want to see.
Nothing of what a peer or a child made up is handed over, the method's name and the trace
carrier of a request apart. Nothing waits, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from .names import Metric, SpanName

if TYPE_CHECKING:
    from exec_server_protocol.rpc import Trace

__all__ = [
    "OFF",
    "OFF_PROCESS",
    "OFF_WORK",
    "ActiveSpan",
    "Gauges",
    "Instruments",
    "ObservedProcess",
    "ObservedRequest",
    "ObservedWork",
]

T = TypeVar("T")

Gauges = Mapping[Metric, Mapping[tuple[str, ...], int]]
"""Metric to its values by label values, in the order of the metric's labels."""


class ObservedRequest(Protocol):
    """One request, from its receipt to its queued response. Ends with one of the last three."""

    def run(self, handler: Callable[..., T], *arguments: Any) -> T:
        """Call a handler; what it starts belongs to this request. Exceptions pass."""

    def answered(self) -> None:
        """Note that its result is queued."""

    def refused(self, code: int) -> None:
        """Note that its error is queued."""

    def abandoned(self) -> None:
        """The connection went first."""


class ObservedProcess(Protocol):
    """One process, from the request for it to its close.

    Ends with ``start_failed`` or ``closed``.
    """

    def variables(self) -> Mapping[str, str]:
        """Variables of the child's environment about its trace; may be empty."""

    def started(self, *, tty: bool, sandboxed: bool) -> None:
        """The child runs."""

    def start_failed(self, *, cancelled: bool) -> None:
        """Note that no child was started."""

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function; what it logs belongs to this process. Exceptions pass."""

    def closed(self, exit_code: int, exit_class: str) -> None:
        """The last event is out.

        Args:
            exit_code: As it was sent to the client.
            exit_class: One of those of ``names.PROCESSES_FINISHED``.
        """


class ObservedWork(Protocol):
    """A piece of work below a request that callbacks carry out. Ends with ``ended``, or never."""

    def begun(self, queue: str) -> None:
        """Note the end of its wait in a queue; the first time counts."""

    def set(self, attribute: str, value: str | int | bool) -> None:
        """Set an attribute of its span; see ``names.SPANS``."""

    def ended(self, *, failed: bool) -> None:
        """Note its end; the request's answer goes out next."""


class ActiveSpan(Protocol):
    """A piece of work that is under way; a context manager, which does not hide exceptions.

    Inside the block, what is started belongs to it. An exception makes it a failed one.
    """

    def set(self, attribute: str, value: str | int | bool) -> None:
        """Set an attribute of its span; see ``names.SPANS``."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that make this span the parent of what another server does."""

    def __enter__(self) -> ActiveSpan:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """End."""


class Instruments(Protocol):
    """Takes everything that can be observed."""

    def clock(self) -> float:
        """Return the time in seconds, from an arbitrary start; 0 when nobody measures."""

    def count(self, metric: Metric, *labels: str, amount: int = 1) -> None:
        """Add to a counter."""

    def record(self, metric: Metric, since: float, *labels: str) -> None:
        """Add to a histogram the time since ``since``, which ``clock`` returned."""

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Ask this for the gauges, on the event loop, whenever they are exported."""

    def request(self, method: str, trace: Trace | None, received: float) -> ObservedRequest:
        """A request is about to be executed.

        Args:
            method: As received.
            trace: Its carrier, not validated.
            received: What ``clock`` returned when it came.
        """

    def process(self) -> ObservedProcess:
        """Return an observer for a process that was asked for."""

    def span(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ActiveSpan:
        """Return a span of the current request; see ``names.SPANS`` for its attributes."""

    def work(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ObservedWork:
        """Return the same for work that does not happen inside one block."""

    def correlation(self) -> Mapping[str, str]:
        """Return ``trace_id`` and ``span_id`` of the current request, or nothing."""


class _Off:
    """Observes nothing: one object for every role, so that nothing is made or kept."""

    __slots__ = ()

    def clock(self) -> float:
        return 0.0

    def count(self, metric: Metric, *labels: str, amount: int = 1) -> None:
        pass

    def record(self, metric: Metric, since: float, *labels: str) -> None:
        pass

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        pass

    def request(self, method: str, trace: Trace | None, received: float) -> ObservedRequest:
        return self

    def process(self) -> ObservedProcess:
        return self

    def span(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ActiveSpan:
        return self

    def work(
        self, name: SpanName, attributes: Mapping[str, str | int | bool] | None = None
    ) -> ObservedWork:
        return self

    def begun(self, queue: str) -> None:
        pass

    def ended(self, *, failed: bool) -> None:
        pass

    def headers(self) -> Mapping[str, str]:
        return {}

    def correlation(self) -> Mapping[str, str]:
        return {}

    def run(self, handler: Callable[..., T], *arguments: Any) -> T:
        return handler(*arguments)

    def answered(self) -> None:
        pass

    def refused(self, code: int) -> None:
        pass

    def abandoned(self) -> None:
        pass

    def variables(self) -> Mapping[str, str]:
        return {}

    def started(self, *, tty: bool, sandboxed: bool) -> None:
        pass

    def start_failed(self, *, cancelled: bool) -> None:
        pass

    def closed(self, exit_code: int, exit_class: str) -> None:
        pass

    def set(self, attribute: str, value: str | int | bool) -> None:
        pass

    def __enter__(self) -> ActiveSpan:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        pass


_NOBODY: Final = _Off()

OFF: Final[Instruments] = _NOBODY
"""Telemetry is off."""

OFF_PROCESS: Final[ObservedProcess] = _NOBODY
"""Observer of a process that does nothing."""

OFF_WORK: Final[ObservedWork] = _NOBODY
"""Observer of a piece of work that does nothing."""
