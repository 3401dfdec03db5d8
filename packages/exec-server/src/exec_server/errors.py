"""Errors of the server that never cross the wire as they are.

::

    ServerError
    ├─ ConfigError         a setting is wrong; the server does not start
    ├─ ListenError         the address cannot be bound
    └─ SpawnError          a child could not be started; carries the errno
"""

from __future__ import annotations

import os

__all__ = ["ConfigError", "ListenError", "ServerError", "SpawnError"]


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
