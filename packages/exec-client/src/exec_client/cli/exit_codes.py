"""Exit codes of ``exec-client``, the same as those of a shell, ``timeout`` and ``docker run``."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CANNOT_EXECUTE",
    "NOT_FOUND",
    "OWN_ERROR",
    "SIGNAL_BASE",
    "TIMED_OUT",
    "CommandError",
    "start_failure_code",
]

TIMED_OUT: Final = 124
"""The command did not end in time and was killed."""
OWN_ERROR: Final = 125
"""``exec-client`` itself failed: usage, no connection, a lost session."""
CANNOT_EXECUTE: Final = 126
"""The program exists and cannot be executed."""
NOT_FOUND: Final = 127
"""There is no such program."""
SIGNAL_BASE: Final = 128
"""Plus the number of the signal that ended the command."""

_MISSING: Final = re.compile(
    r"os error 2\)|no such file|not found|does not exist|no viable", re.IGNORECASE
)
_UNUSABLE: Final = re.compile(
    r"os error (13|8)\)|permission denied|exec format|not executable", re.I
)
_FOLDER: Final = re.compile(r"\bcwd\b|working directory|working folder", re.IGNORECASE)


class CommandError(Exception):
    """Ends ``exec-client`` with a text on stderr and a code of its own.

    Attributes:
        exit_code: What the program ends with.
    """

    def __init__(self, message: str, exit_code: int = OWN_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def start_failure_code(message: str) -> int:
    """Return the exit code for a command that the executor could not start.

    The wire has one error code for all reasons, so the text has to tell, whichever executor
    wrote it. A text that says nothing known gives ``OWN_ERROR``; so does a missing folder,
    where the executor says that it was the folder.
    """
    if _FOLDER.search(message):
        return OWN_ERROR
    if _UNUSABLE.search(message):
        return CANNOT_EXECUTE
    return NOT_FOUND if _MISSING.search(message) else OWN_ERROR
