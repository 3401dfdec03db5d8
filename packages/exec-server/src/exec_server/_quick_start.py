"""A pause of the garbage collector while the program is loaded; imported before anything large.

Modules make few things that become garbage, and 8 ms of 130 went into looking for some. Only
the program does this, and not who embeds a server.
"""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["loaded"]

_was_collecting: Final = gc.isenabled()


def loaded() -> None:
    """Let the collector work as before."""
    if _was_collecting:
        gc.enable()


gc.disable()
