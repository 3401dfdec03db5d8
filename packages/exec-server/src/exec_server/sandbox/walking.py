"""Opening what a resolved path names, and nothing that a link on the way leads to."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["open_without_links"]

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)


def open_without_links(path: bytes, flags: int) -> int:
    """Open a path one name after the other. Returns the descriptor.

    Args:
        path: Absolute and resolved.
        flags: For the last name; links are not followed there either.

    Raises:
        OSError: It is not there any more, or there is a link on the way.
    """
    *folders, last = [name for name in path.split(b"/") if name] or [b"."]
    at = os.open(b"/", _FOLDER)
    try:
        for name in folders:
            above, at = at, os.open(name, _FOLDER, dir_fd=at)
            os.close(above)
        return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
