"""The garbage collector of the program: it has nothing to find while modules are loaded.

Looking through them, while they come and when the interpreter ends, takes a fifth of the
processor time of a short command. What they hold stays as long as the program runs.
"""

from __future__ import annotations

import gc

__all__ = ["leave", "loaded", "pause"]

_paused = False


def pause() -> None:
    """Let the collector rest until ``loaded``. For the program, not for who calls ``main``."""
    global _paused
    _paused = gc.isenabled()
    gc.disable()


def loaded() -> None:
    """Let the collector work from now on, without what is there already."""
    global _paused
    if _paused:
        _paused = False
        gc.freeze()
        gc.enable()


def leave() -> None:
    """Let the program end without a last search: the system takes everything back anyway."""
    gc.freeze()
    gc.disable()
