"""Files that decide who may come in: no sandbox shows the secret ones or lets any be changed.

Without being asked, whatever a policy says: a command that reads the server's token, or puts its
own key in the place of the server's, would be let in as somebody who is confined by nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

__all__ = ["keep", "secret_files", "trusted_files"]

_secret: dict[str, None] = {}
_trusted: dict[str, None] = {}
"""Paths as they were given. Of all servers of the process, also of those that have ended: a few."""

_ELSEWHERE = (b"/proc/", b"/dev/")
"""Every sandbox has its own; what was read from there outside is not there."""


def keep(*, secret: Iterable[str], trusted: Iterable[str]) -> None:
    """Remember files from now on.

    Args:
        secret: Not to be read, nor written.
        trusted: Not to be written.
    """
    _secret.update(dict.fromkeys(map(os.path.abspath, secret)))
    _trusted.update(dict.fromkeys(map(os.path.abspath, trusted)))


def secret_files() -> Iterator[bytes]:
    """Yield those that are there, without links: these may lead elsewhere tomorrow. May block."""
    return _resolved(_secret)


def trusted_files() -> Iterator[bytes]:
    """Yield those that are there, without links. May block."""
    return _resolved(_trusted)


def _resolved(paths: Iterable[str]) -> Iterator[bytes]:
    for path in tuple(paths):
        real = os.fsencode(os.path.realpath(path))
        if os.path.exists(real) and not real.startswith(_ELSEWHERE):
            yield real
