"""The options about limits of the ``exec-server`` program."""

from __future__ import annotations

import argparse
from typing import Final

from .config import Limits
from .durations import DURATION, positive_duration
from .sizes import parse_size

__all__ = ["add_limit_arguments", "limits_from_arguments"]

_DEFAULTS: Final = Limits()


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them, in a group."""
    group = parser.add_argument_group(
        "limits", "Reaching one is an error for whoever asks for more; others go on."
    )
    group.add_argument(
        "--max-connections",
        metavar="N",
        type=_count,
        default=_DEFAULTS.connections,
        help="connections of clients (default: %(default)s)",
    )
    group.add_argument(
        "--max-uninitialized-connections",
        metavar="N",
        type=_count,
        default=_DEFAULTS.uninitialized_connections,
        help="connections without a valid token yet, or, where none is asked for, without "
        "`initialize`; one more, and the oldest of the busiest address is dropped "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--initialize-timeout-seconds",
        metavar=DURATION,
        type=positive_duration,
        default=_DEFAULTS.initialize_seconds,
        help="from the upgrade to `initialize`; the upgrade itself may take "
        f"{_DEFAULTS.handshake_seconds:g} (default: %(default)g)",
    )
    group.add_argument(
        "--max-sessions",
        metavar="N",
        type=_count,
        default=_DEFAULTS.sessions,
        help="sessions, with and without a connection; for one more, one without in which nothing "
        "runs gives way (default: %(default)s)",
    )
    group.add_argument(
        "--max-processes-per-session",
        metavar="N",
        type=_count,
        default=_DEFAULTS.processes_per_session,
        help="processes of one session, finished ones that are still readable included, of "
        "which the oldest gives way to a new one (default: %(default)s)",
    )
    group.add_argument(
        "--max-inbound-bytes",
        metavar="SIZE",
        type=_positive_size,
        default=_DEFAULTS.inbound_bytes,
        help="unfinished messages of all connections together; beyond it large ones are read "
        f"one after the other (default: {_DEFAULTS.inbound_bytes // 1024**2}MiB)",
    )


def limits_from_arguments(arguments: argparse.Namespace) -> Limits:
    """Return the limits that the options give."""
    return Limits(
        connections=arguments.max_connections,
        uninitialized_connections=arguments.max_uninitialized_connections,
        initialize_seconds=arguments.initialize_timeout_seconds,
        sessions=arguments.max_sessions,
        processes_per_session=arguments.max_processes_per_session,
        inbound_bytes=arguments.max_inbound_bytes,
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:18]):
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text!r}")
    return int(text)


def _positive_size(text: str) -> int:
    size = parse_size(text)
    if not size:
        raise argparse.ArgumentTypeError("must be more than 0")
    return size
