"""Log records on stderr: text for people, or one JSON object a line.

Nothing that a peer or a child wrote goes into a record, nor paths, arguments, variables or
session ids: whoever reads the log may not be whoever may resume a session.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

__all__ = ["FIELDS", "JsonFormatter", "LogFormat", "configure_logging", "correlate"]

_QUOTING_LIBRARIES: Final = ("httpcore", "httpx")
"""Their debug records hold the headers of requests and responses."""

LogFormat = Literal["text", "json"]

FIELDS: Final = ("event", "sandboxed", "exit_class", "exit_code")
"""What a record may say beside its text: ``event`` names what happened."""


def _nothing() -> Mapping[str, str]:
    return {}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: ``time``, ``level``, ``logger``, ``message``.

    Attributes:
        correlation: Returns what else to say about what is being done; see ``correlate``.
    """

    correlation: Callable[[], Mapping[str, str]] = staticmethod(_nothing)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        fields: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.correlation(),
        }
        for name in FIELDS:
            if hasattr(record, name):
                fields[name] = getattr(record, name)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)  # in ASCII: nothing in it acts on a terminal


class _TextFormatter(logging.Formatter):
    """Formats a record as one printable line.

    What a peer calls a method cannot begin another, nor act on the terminal that shows it.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line for a record, without what follows about an exception."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send the records of this package to stderr. For the program, not for embedders.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: See the module's text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level.upper())
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for library in _QUOTING_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)


def correlate(correlation: Callable[[], Mapping[str, str]]) -> None:
    """Add ``trace_id`` and ``span_id`` to the JSON objects from now on.

    Args:
        correlation: Returns both for what is being done, or nothing.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.formatter.correlation = correlation
