"""The ``exec-client`` command: one module a subcommand, listed in ``commands``."""

from __future__ import annotations

from .program import main

__all__ = ["main"]
