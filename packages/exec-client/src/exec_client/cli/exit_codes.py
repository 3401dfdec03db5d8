"""Exit codes of ``exec-client``, the same as those of a shell, ``timeout`` and ``docker run``.

``EXIT_CODES`` is the one table: errors become codes by it, and the documents show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CANNOT_EXECUTE",
    "EXIT_CODES",
    "NOT_FOUND",
    "OWN_ERROR",
    "SIGNAL_BASE",
    "TIMED_OUT",
    "CommandError",
    "ExitCode",
    "exit_code_of",
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


@dataclass(frozen=True, slots=True)
class ExitCode:
    """A row of the table.

    Attributes:
        code: What the program ends with.
        meaning: When, for people.
        error: Name of the class in ``exec_client``, or of a builtin one, that ends it so.
        about: For a ``StartError``: the row is for those that are about this only.
    """

    code: int
    meaning: str
    error: str
    about: str | None = None


EXIT_CODES: Final = (
    ExitCode(TIMED_OUT, "the command ran longer than `--timeout` and was killed", "TimeoutExpired"),
    ExitCode(
        OWN_ERROR, "the folder for the command is missing or cannot be entered", "StartError", "cwd"
    ),
    ExitCode(NOT_FOUND, "there is no such program", "StartFileNotFoundError"),
    ExitCode(CANNOT_EXECUTE, "the program may not be executed", "StartPermissionError"),
    ExitCode(CANNOT_EXECUTE, "a part of the program's path is a file", "StartNotADirectoryError"),
    ExitCode(
        CANNOT_EXECUTE,
        "the program cannot be executed: not one of this system, or too many arguments",
        "StartError",
        "program",
    ),
    ExitCode(OWN_ERROR, "no command was started, or what became of it is not known", "ExecError"),
    ExitCode(OWN_ERROR, "a file here, or the output, cannot be read or written", "OSError"),
    ExitCode(OWN_ERROR, "a wrong argument, or a fault of `exec-client`", "Exception"),
)
"""The first row that fits counts. Commands that ran end with their own code, or with
``SIGNAL_BASE`` and a signal."""


class CommandError(Exception):
    """Ends ``exec-client`` with a text on stderr and a code of its own.

    Attributes:
        exit_code: What the program ends with.
    """

    def __init__(self, message: str, exit_code: int = OWN_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(error: Exception) -> int:
    """Return what the program ends with because of an error."""
    if isinstance(error, CommandError):
        return error.exit_code
    about = getattr(error, "about", None)
    names = {kind.__name__ for kind in type(error).__mro__}
    return next(row.code for row in EXIT_CODES if row.error in names and row.about in (None, about))
