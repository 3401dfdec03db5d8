"""Errors of the server that never cross the wire as they are.

::

    ServerError
    ├─ ConfigError         a setting is wrong; the server does not start
    ├─ ListenError         the address cannot be bound
    └─ SpawnError          a child could not be started; carries the errno
"""

from __future__ import annotations

import os

__all__ = ["ConfigError", "ListenError", "ServerError", "SpawnError", "forget_frames"]


class ServerError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(ServerError):
    """A setting is wrong. The text names the setting and what it expects."""


class ListenError(ServerError):
    """The address cannot be bound."""


class SpawnError(ServerError):
    """A child could not be started; nothing of it is left.

    Attributes:
        errno: The operating system's number, or ``None`` when it was not asked.
    """

    def __init__(self, text: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.errno = errno

    @classmethod
    def from_os_error(cls, error: OSError) -> SpawnError:
        """Return the error for what the operating system said, without any path."""
        number = error.errno or 0
        return cls(f"{os.strerror(number)} (os error {number})", number)


def forget_frames(error: BaseException) -> None:
    """Let an error that has been told and logged hold nothing but its text.

    An error refers to the frames that it came through, and one of those often refers to the
    error. Such a circle, and whatever its frames hold, would stay until the collector runs.
    """
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        todo += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
