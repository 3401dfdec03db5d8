"""Durations of the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Final

from exec_server_protocol._durations import parse_duration

__all__ = ["DURATION", "duration"]

DURATION: Final = "DURATION"
"""What stands for one in usages."""


def duration(text: str) -> float:
    """Return the seconds of a duration that is not nothing; for ``argparse``."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    if not seconds:
        raise ArgumentTypeError("must be more than 0")
    return seconds
