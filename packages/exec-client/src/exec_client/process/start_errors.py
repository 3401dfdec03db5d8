"""Exceptions for starts that an executor refuses: the ones that ``subprocess`` raises.

::

    StartError                        InternalError, OSError; .about .program .cwd .errno .filename
    ├─ StartFileNotFoundError         FileNotFoundError: the program is missing, or the folder
    │  └─ StartFolderNotFoundError    NotADirectoryError as well: it is the folder
    ├─ StartPermissionError           PermissionError: not executable, or a folder not to be entered
    └─ StartNotADirectoryError        NotADirectoryError: a file in the place of a folder

Our server says in ``data`` what it was about and the system's number. Other executors give a kind,
a number in their text, or a text: then ``about`` is ``None`` where that leaves open whether it was
the program or the folder, and the text names both.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final, Literal

from exec_server_protocol.errors import INTERNAL_ERROR, InternalError, RpcError

from ..system_numbers import system_number

__all__ = [
    "StartError",
    "StartFileNotFoundError",
    "StartFolderNotFoundError",
    "StartNotADirectoryError",
    "StartPermissionError",
    "to_start_error",
]

_MISSING_PROGRAM: Final = (
    "because it does not exist",
    "No viable candidates found in PATH",
)
"""How the reference says of a program on a terminal that it is missing; without a number."""


_BY_KIND: Final = {"spawnNotFound": errno.ENOENT, "spawnPermissionDenied": errno.EACCES}
"""What the reference says in ``data``, of either path."""


class StartError(InternalError, OSError):
    """The executor could not start a process. Nothing runs.

    Attributes:
        about: ``program`` or ``cwd``: which of the two it was about; ``None`` where the executor
            does not say, or it was about neither.
        program: What was to be started.
        cwd: Where.
        errno: The system's error number, as this system counts.
        filename: The program or the folder, as ``about`` says; the program for ``None``.
        code: Number on the wire.
        message: What the executor said.
        data: What it said to programs, or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        data: Any = None,
        number: int = errno.EIO,
        about: Literal["program", "cwd"] | None = None,
        program: str = "",
        cwd: str = "",
    ) -> None:
        text = os.strerror(number)
        if about is None and number in _ABOUT_PATHS:
            text += f" (the program, or the folder {cwd!r})"
        OSError.__init__(self, number, text, cwd if about == "cwd" else program)
        self.message = message
        self.code = self.default_code if code is None else code
        self.data = data
        self.about: Literal["program", "cwd"] | None = about
        self.program = program
        self.cwd = cwd


class StartFileNotFoundError(StartError, FileNotFoundError):
    """There is no such program, or no such folder to start it in; see ``about``."""


class StartFolderNotFoundError(StartFileNotFoundError, NotADirectoryError):
    """There is no such folder to start it in."""


class StartPermissionError(StartError, PermissionError):
    """The program cannot be executed, or the folder cannot be entered; see ``about``."""


class StartNotADirectoryError(StartError, NotADirectoryError):
    """The folder, or a part of one of the two paths, is a file; see ``about``."""


_BY_NUMBER: Final[dict[int, type[StartError]]] = {
    errno.ENOENT: StartFileNotFoundError,
    errno.EACCES: StartPermissionError,
    errno.EPERM: StartPermissionError,
    errno.ENOTDIR: StartNotADirectoryError,
}
_ABOUT_PATHS: Final = frozenset({*_BY_NUMBER, errno.ELOOP, errno.ENAMETOOLONG})
"""Where it makes a difference of which of the two paths it is said."""

_ABOUT_PROGRAMS: Final = frozenset({errno.ENOEXEC, errno.E2BIG, errno.ETXTBSY})
"""What is never said of a folder."""


def to_start_error(error: RpcError, program: str, cwd: str) -> RpcError:
    """Return the exception for an executor's refusal to start a process.

    Args:
        error: What the executor answered.
        program: What was to be started.
        cwd: Where.

    Returns:
        A ``StartError``, or ``error`` itself when it is about something else.
    """
    if error.code != INTERNAL_ERROR:
        return error
    number = system_number(error)
    data = error.data if isinstance(error.data, dict) else {}
    given = data.get("about")
    about: Literal["program", "cwd"] | None = given if given in ("program", "cwd") else None
    if number is None and any(text in error.message for text in _MISSING_PROGRAM):
        number, about = errno.ENOENT, "program"
    if number is None:
        number = _BY_KIND.get(str(data.get("kind")))
    if number is None:
        return error
    if about is None and number in _ABOUT_PROGRAMS:
        about = "program"
    kind = _BY_NUMBER.get(number, StartError)
    if kind is StartFileNotFoundError and about == "cwd":
        kind = StartFolderNotFoundError
    return kind(
        error.message,
        code=error.code,
        data=error.data,
        number=number,
        about=about,
        program=program,
        cwd=cwd,
    )
