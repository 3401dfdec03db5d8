"""Known ways out of a sandbox, each as a function that tries one. Run inside.

A program of its own, with the standard library only and no import from outside this folder,
because nothing else may be readable inside: ``python -I -S -c COMMAND NAMES SITE``, where
``NAMES`` are separated by commas and ``SITE`` is a ``Site`` as JSON. One line of output for
each says what it got; the exit status is ``ESCAPED`` only when one got something. What they do
on the disk is judged from outside.
"""

from __future__ import annotations

from . import files, namespaces, network, processes, system
from .common import ESCAPED, NEEDS, PROBES, REFUSED, SECRET, Need, Site

__all__ = [
    "ESCAPED",
    "NEEDS",
    "PROBES",
    "REFUSED",
    "SECRET",
    "Need",
    "Site",
    "files",
    "namespaces",
    "network",
    "processes",
    "system",
]
