"""The shell of the user that the server runs as."""

from __future__ import annotations

import os
import pwd
import shutil
from typing import Final

__all__ = ["login_shell", "shell_for"]

_NO_SHELLS: Final = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown"})
"""What accounts have in the place of a shell so that nobody logs in. None runs a command."""

_LAST_RESORT: Final = "/bin/sh"


def login_shell() -> str:
    """Return the path of the user's shell; see ``shell_for``."""
    try:
        return shell_for(pwd.getpwuid(os.getuid()).pw_shell)
    except KeyError:  # containers run as users that nobody has heard of
        return shell_for("")


def shell_for(shell: str) -> str:
    """Return what the user database has for a shell, if it runs commands; else bash or sh.

    Looks at the disk.
    """
    if _runs_commands(shell):
        return shell
    return next(filter(None, map(shutil.which, ("bash", "sh"))), _LAST_RESORT)


def _runs_commands(shell: str) -> bool:
    if not os.path.isabs(shell) or os.path.basename(shell) in _NO_SHELLS:
        return False
    return os.path.isfile(shell) and os.access(shell, os.X_OK)
