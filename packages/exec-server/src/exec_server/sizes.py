"""Sizes on the command line."""

from __future__ import annotations

import argparse
import re

__all__ = ["parse_size"]


def parse_size(text: str) -> int:
    """Return the bytes that ``64MiB``, ``1GiB``, ``500kB`` or ``4096`` mean.

    Raises:
        argparse.ArgumentTypeError: It is no size.
    """
    match = re.fullmatch(r"(\d+)\s*(?:([kKMG])(i?)B?)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"not a size: {text!r}; examples: 64MiB, 1GiB, 4096")
    prefix = (match[2] or "").replace("K", "k")
    power = ("", "k", "M", "G").index(prefix)
    size: int = int(match[1]) * (1024 if match[3] else 1000) ** power
    return size
