"""Program that tries ways out, one after the other: ``NAMES SITE``."""

from __future__ import annotations

import json
import os
import signal
import sys

from . import ESCAPED, PROBES, REFUSED, Site

_SECONDS = 20
"""An attempt that hangs has not got out."""


def main(argv: list[str]) -> int:
    """Try ways out. Prints a line for each: name, ``ESCAPED`` or ``refused``, how; by tabs."""
    names, text = argv
    site = Site(**json.loads(text))
    worst = REFUSED
    for name in names.split(","):
        # In a child each: an attempt changes its namespaces and its root folder, or is killed.
        child = os.fork()
        if child == 0:
            os._exit(_attempt(name, site))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == ESCAPED:
            worst = ESCAPED
        elif code != REFUSED:
            _say(name, "refused", f"ended by signal {-code}" if code < 0 else f"ended with {code}")
    return worst


def _attempt(name: str, site: Site) -> int:
    signal.alarm(_SECONDS)
    try:
        got = PROBES[name](site)
    except OSError as error:
        _say(name, "refused", error.strerror or "refused")
        return REFUSED
    except Exception as error:  # noqa: BLE001 - a mistake in an attempt shows nothing
        _say(name, "failed", repr(error))
        return REFUSED
    _say(name, "ESCAPED" if got else "refused", got or "nothing found")
    return ESCAPED if got else REFUSED


def _say(name: str, verdict: str, how: object) -> None:
    os.write(1, f"{name}\t{verdict}\t{how}\n".encode("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
