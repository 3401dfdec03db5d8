"""Signals by the names that they have on the wire."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["SIGNALS"]

SIGNALS: Final[dict[str, signal.Signals]] = {
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "kill": signal.SIGKILL,
    "hangup": signal.SIGHUP,
    "quit": signal.SIGQUIT,
    "usr1": signal.SIGUSR1,
    "usr2": signal.SIGUSR2,
}
"""Signals by their names on the wire."""
