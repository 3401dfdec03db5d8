"""Outcome of a process, in the words of logs and metrics."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["exit_class", "log_closed", "log_started"]

logger = logging.getLogger(__name__)

_SIGNAL_BASE: Final = 128
"""A process that a signal has ended reports this and the signal's number."""


def exit_class(exit_code: int) -> str:
    """Return the kind of end that an exit code means."""
    if exit_code == 0:
        return "success"
    return "signal" if exit_code > _SIGNAL_BASE else "failure"


def log_started() -> None:
    """Say that a process was started."""
    logger.info("process started", extra={"event": "process_started"})


def log_closed(exit_code: int, kind: str) -> None:
    """Say that a process has ended, and how."""
    fields = {"event": "process_closed", "exit_class": kind, "exit_code": exit_code}
    logger.info("process closed", extra=fields)
