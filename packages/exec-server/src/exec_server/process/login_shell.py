"""The shell of the user that the server runs as."""

from __future__ import annotations

import os
import pwd

__all__ = ["login_shell"]


def login_shell() -> str:
    """Return the path of the user's shell, from the user database."""
    try:
        return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:  # containers run as users that nobody has heard of
        return "/bin/sh"
