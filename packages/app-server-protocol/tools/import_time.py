"""Measure what importing this package costs, over an empty interpreter.

Prints the median of several fresh interpreters for each step, and the limit that the step
has. Exit status 1 if one is over its limit. Timing depends on the machine and on what else it
does, so this is no test; the tests check which modules are loaded.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

_RUNS: Final = 15  # enough for a median that moves by less than a millisecond
_STEPS: Final = (
    # statement, statement to compare with, limit in milliseconds
    ("import app_server_protocol, app_server_protocol.rpc", "pass", 20),
    (
        "import app_server_protocol.registry",
        "import app_server_protocol, app_server_protocol.rpc",
        15,
    ),
    ("import app_server_protocol.types", "pass", 150 if sys.version_info >= (3, 13) else 250),
)


def _seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure every step; interleaved, so that a busy moment hits both sides."""
    worst = 0
    for statement, base, limit_ms in _STEPS:
        _seconds(statement)  # compiles the modules
        pairs = [(_seconds(statement), _seconds(base)) for _ in range(_RUNS)]
        over_ms = 1000 * statistics.median(mine - other for mine, other in pairs)
        verdict = "ok" if over_ms <= limit_ms else "OVER"
        worst |= over_ms > limit_ms
        sys.stdout.write(
            f"{over_ms:6.1f} ms (limit {limit_ms:3}) {verdict:4} {statement}; over: {base}\n"
        )
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
