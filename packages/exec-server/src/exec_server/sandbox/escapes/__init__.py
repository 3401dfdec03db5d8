"""Known ways out of a sandbox, each as a function that tries one. Run inside.

A program of its own, with the standard library only and no import from outside this folder,
because nothing else may be readable inside: ``python -I -S -c COMMAND NAME SITE``, where
``SITE`` is a ``Site`` as JSON. Its last line of output says what it got; its exit status is
``ESCAPED`` only when that was something. What it does on the disk is judged from outside.
"""

from __future__ import annotations

from . import files, namespaces, network, processes, system
from .common import ESCAPED, PROBES, REFUSED, SECRET, Site

__all__ = [
    "ESCAPED",
    "PROBES",
    "REFUSED",
    "SECRET",
    "Site",
    "files",
    "namespaces",
    "network",
    "processes",
    "system",
]
