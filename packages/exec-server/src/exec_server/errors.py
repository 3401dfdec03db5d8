"""Errors of the server that never cross the wire as they are.

::

    ServerError
    ├─ ConfigError         a setting is wrong; the server does not start
    ├─ ListenError         the address cannot be bound
    └─ SpawnError          a child could not be started; carries the errno
"""

from __future__ import annotations

import errno
import os
from typing import Final, Literal

__all__ = ["ConfigError", "ListenError", "ServerError", "SpawnError", "forget_frames"]


_PATH_CHARACTERS: Final = 4096
"""Of a path that an error repeats: as long as one can be that the system takes."""


_KINDS: Final = {
    errno.ENOENT: "spawnNotFound",
    errno.EACCES: "spawnPermissionDenied",
    errno.EPERM: "spawnPermissionDenied",
}
"""What newer reference versions say in ``data``; the rest of it is ours."""


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
        about: What it was about, if that is known.
        path: Its name in the request.
    """

    def __init__(
        self,
        text: str,
        number: int | None = None,
        about: Literal["program", "cwd"] | None = None,
        path: str | bytes = "",
    ) -> None:
        super().__init__(text)
        self.errno = number
        self.about = about
        self.path = path.decode("utf-8", "replace") if isinstance(path, bytes) else path

    @property
    def data(self) -> dict[str, object] | None:
        """Data that a client gets beside the text: programs need not read the text."""
        if self.errno is None:
            return None
        told: dict[str, object] = {"kind": _KINDS.get(self.errno, "spawnFailed")}
        if self.about is not None:
            told |= {"about": self.about, "path": self.path[:_PATH_CHARACTERS]}
        return told | {"errno": self.errno}

    @classmethod
    def from_os_error(
        cls,
        error: OSError,
        about: Literal["program", "cwd"] | None = None,
        path: str | bytes = "",
    ) -> SpawnError:
        """Return the error for what the operating system said, without any path in its text."""
        number = error.errno or 0
        return cls(f"{os.strerror(number)} (os error {number})", number, about, path)


def forget_frames(error: BaseException) -> None:
    """Let an error that has been sent and logged hold nothing but its text.

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
