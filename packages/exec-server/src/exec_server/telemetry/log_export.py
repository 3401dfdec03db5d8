"""Log records as OTLP, tied to the span in which they were written."""

from __future__ import annotations

import logging
import time
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from ..logs import FIELDS
from .current import current_context

__all__ = ["LogExport", "quiet_sdk"]

_PACKAGE: Final = "exec_server"

_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
)

_REPORT_EVERY_SECONDS: Final = 60.0
"""A collector that is away stays away for a while."""


class LogExport(logging.Handler):
    """Hands the records of this package to OpenTelemetry.

    Others are not exported: what a library says may quote what a peer sent. Of an exception
    only the type goes out, for the same reason.

    Args:
        provider: Exports them.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__(logging.INFO)
        self._provider = provider
        self._old_level = logging.NOTSET

    def install(self) -> None:
        """Take records from INFO on, whatever is shown on stderr."""
        package = logging.getLogger(_PACKAGE)
        self._old_level = package.level
        package.setLevel(min(logging.INFO, package.getEffectiveLevel()))
        package.addHandler(self)

    def remove(self) -> None:
        """Take no more."""
        package = logging.getLogger(_PACKAGE)
        package.setLevel(self._old_level)
        package.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Export one record."""
        attributes: dict[str, str | int | bool] = {
            name: value for name in FIELDS if (value := getattr(record, name, None)) is not None
        }
        if record.exc_info and record.exc_info[0] is not None:
            attributes["exception.type"] = record.exc_info[0].__name__
        number = next(
            (number for level, number in _SEVERITIES if record.levelno >= level),
            SeverityNumber.DEBUG,
        )
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                observed_timestamp=time.time_ns(),
                context=current_context(),
                severity_text=record.levelname,
                severity_number=number,
                body=record.getMessage(),
                attributes=attributes,
            )
        )


class _SdkReports(logging.Handler):
    """Says now and then that the SDK has complaints, without repeating their text.

    They come with every failed export, and they quote addresses and answers.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger(f"{_PACKAGE}.telemetry")
        self._said_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said_at >= _REPORT_EVERY_SECONDS:
            self._said_at = now
            self._logger.warning("telemetry: OpenTelemetry reports a problem (%s)", record.name)


def quiet_sdk() -> None:
    """Replace the log of the SDK with a summary."""
    sdk = logging.getLogger("opentelemetry")
    sdk.propagate = False
    if not any(isinstance(handler, _SdkReports) for handler in sdk.handlers):
        sdk.addHandler(_SdkReports())
