"""Durations of the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Final

from exec_server_protocol._durations import parse_duration

__all__ = ["DURATION", "duration", "positive_duration", "whole_seconds"]

DURATION: Final = "DURATION"
"""What stands for one in usages."""


def duration(text: str) -> float:
    """Return the seconds of a duration; for ``argparse``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def positive_duration(text: str) -> float:
    """Return the seconds of a duration that is not nothing."""
    seconds = duration(text)
    if not seconds:
        raise ArgumentTypeError("must be more than 0")
    return seconds


def whole_seconds(text: str) -> int:
    """Return the seconds of a duration without fractions of one."""
    seconds = duration(text)
    if not seconds.is_integer():
        raise ArgumentTypeError("must be whole seconds")
    return int(seconds)
