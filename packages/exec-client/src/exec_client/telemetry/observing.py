"""Observation of the client's calls, connections and recoveries, for OpenTelemetry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol

from exec_server_protocol.rpc import Trace

from ..options import ClientOptions

if TYPE_CHECKING:
    from .otel import OpenTelemetryClient

__all__ = ["Observed", "Observer"]


class Observed(Protocol):
    """A piece of work; a context manager that hides no exceptions, and learns from them.

    Attributes:
        trace: The context to send to the executor.
    """

    @property
    def trace(self) -> Trace | None:
        """The context to send to the executor."""

    def recovered(self, attempts: int, size: int) -> None:
        """Note a recovery that succeeded: its attempts, and the bytes that were missed."""

    def __enter__(self) -> Observed:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        """End."""


class _Unobserved:
    """Observation that is switched off."""

    __slots__ = ()
    trace: Final[Trace | None] = None

    def recovered(self, attempts: int, size: int) -> None:
        pass

    def __enter__(self) -> Observed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        pass


_UNOBSERVED: Final = _Unobserved()


class Observer:
    """Follows one client, once there is something to follow it with.

    Args:
        url: Of the executor; its host and port become attributes.
        options: For the providers.
    """

    def __init__(self, url: str, options: ClientOptions) -> None:
        self._url = url
        self._options = options
        self._client: OpenTelemetryClient | None = None

    def _find(self) -> OpenTelemetryClient | None:
        if self._client is None and (
            "opentelemetry.trace" in sys.modules or self._options.tracer_provider is not None
        ):
            from .otel import OpenTelemetryClient

            self._client = OpenTelemetryClient(
                self._url, self._options.tracer_provider, self._options.meter_provider
            )
        return self._client

    def call(self, method: str) -> Observed:
        """Return what follows one attempt of a call: its span is the parent of the executor's."""
        client = self._find()
        return _UNOBSERVED if client is None else client.call(method)

    def connect(self, *, resume: bool) -> Observed:
        """Return what follows the making of one connection, the handshake included."""
        client = self._find()
        return _UNOBSERVED if client is None else client.connect(resume=resume)

    def recovery(self) -> Observed:
        """Return what follows a recovery."""
        client = self._find()
        return _UNOBSERVED if client is None else client.recovery()
