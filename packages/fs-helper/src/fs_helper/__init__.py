"""The file operations of exec-server, as a small program on stdin and stdout.

``main.main`` runs it. Synchronous, standard library only: it has to start in a few
milliseconds, inside a sandbox and outside. It does not confine itself.
"""

from __future__ import annotations

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
"""Version of the distribution; spelled out because looking it up would double the start."""
