"""Try one way out: ``NAME SITE``."""

from __future__ import annotations

import json
import signal
import sys

from . import ESCAPED, PROBES, REFUSED, Site

_SECONDS = 20
"""An attempt that hangs has not got out."""


def main(argv: list[str]) -> int:
    """Try one way out."""
    signal.alarm(_SECONDS)
    name, text = argv
    try:
        got = PROBES[name](Site(**json.loads(text)))
    except OSError as error:
        sys.stdout.write(f"{error.strerror or 'refused'}\n")
        return REFUSED
    sys.stdout.write(f"{got or 'nothing found'}\n")
    return ESCAPED if got else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
