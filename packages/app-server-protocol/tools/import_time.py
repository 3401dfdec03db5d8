"""Measure what importing this package costs, over an empty interpreter.

Each step runs in fresh interpreters, whose bytecode is cached as it is for an installed
package. What counts is the time that the processor worked on the import, and of that the
least: the rest is what else the machine had to do. Where the standard library's own modules take
longer than on the machine that the limits were set for, the limits are longer as well. Exit status
1 if a step is over its limit.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

_RUNS: Final = 7  # the least of them moves by less than a millisecond
_YARDSTICK: Final = "import dataclasses, json, typing"
_YARDSTICK_MS: Final = 13.0  # on two cores of a virtual machine, with Python 3.11
_ROOT: Final = "import app_server_protocol, app_server_protocol.rpc"
_STEPS: Final = (
    # statement, what is imported before it, limit in milliseconds
    (_ROOT, "pass", 20),
    ("import app_server_protocol.registry", _ROOT, 15),
    ("import app_server_protocol.types", "pass", 150 if sys.version_info >= (3, 13) else 250),
)
_CODE: Final = """\
import time
{base}
start = time.process_time()
{statement}
print(1000 * (time.process_time() - start))
"""


def _measure(statement: str, base: str, environment: Mapping[str, str]) -> list[float]:
    """Return what an import took, in milliseconds, run by run."""
    command = [sys.executable, "-c", _CODE.format(statement=statement, base=base)]
    times = []
    for _ in range(1 + _RUNS):
        done = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=60
        )
        times.append(float(done.stdout))
    return times[1:]  # the first fills the cache


def main() -> int:
    """Measure every step. Returns the exit status."""
    over = False
    with tempfile.TemporaryDirectory(prefix="import-time-") as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        slower = max(1.0, min(_measure(_YARDSTICK, "pass", environment)) / _YARDSTICK_MS)
        for statement, base, milliseconds in _STEPS:
            times = _measure(statement, base, environment)
            limit = milliseconds * slower
            over |= min(times) > limit
            sys.stdout.write(
                f"{min(times):5.1f} ms, median {statistics.median(times):5.1f} "
                f"(limit {limit:5.1f}) {'OVER' if min(times) > limit else 'ok'} {statement}\n"
            )
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
