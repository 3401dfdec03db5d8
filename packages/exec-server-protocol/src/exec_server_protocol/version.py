"""Version of the wire that this package speaks."""

from __future__ import annotations

from typing import Final

__all__ = ["WIRE_REVISION"]

WIRE_REVISION: Final = "0.169.0"
"""The release of the reference implementation whose wire this package follows.

It is not negotiated: the handshake carries versions only for people to read, and
capability flags for everything optional.
"""
