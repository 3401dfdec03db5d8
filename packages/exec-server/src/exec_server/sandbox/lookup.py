"""Resolution of paths: every link resolved by hand, and remembered.

The kernel could resolve a path in one call, but would not say which links it followed. A
link that a confined program can replace decides what the next sandbox lets it do, so
each one must be known.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections import deque
from dataclasses import dataclass
from typing import Final

from .errors import PolicyNotEnforceableError
from .placeholders import is_placeholder

__all__ = ["Found", "Identity", "Lookup", "is_own"]

_MAX_LINKS: Final = 40
"""As many as the kernel follows."""
_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES)
"""Error numbers that count as "nothing there": what the server may not see, no command may."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One file or folder, whatever it is called."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """Target of a path.

    Attributes:
        path: The resolved path of what exists, without links.
        missing: The names below it that do not exist; empty when all of it does.
        links: Each link that was followed: where it is, resolved, and its text.
    """

    path: bytes
    missing: tuple[bytes, ...]
    links: tuple[tuple[bytes, bytes], ...]

    @property
    def full(self) -> bytes:
        """The path with its missing names."""
        return posixpath.join(self.path, *self.missing)


class Lookup:
    """One look at the disk: what was seen once is not looked at again.

    Mount points that another sandbox has put into a writable folder count as not there.

    Attributes:
        seen: What is at each path that was looked at, all of them resolved but for their last
            name; ``None`` for nothing. With a path, the folders above it are in here too.
    """

    def __init__(self) -> None:
        self.seen: dict[bytes, os.stat_result | None] = {}
        self._followed: dict[bytes, bytes] = {}
        self._plain: dict[bytes, bool] = {b"/": True}

    def is_unchanged(self) -> bool:
        """Look again at everything that was looked at. Returns whether it is the same."""
        lstat = os.lstat
        for path, before in self.seen.items():
            try:
                now = lstat(path)
            except OSError:
                if before is not None:
                    return False
                continue
            if before is None:
                if not is_placeholder(path, now):
                    return False
            elif (now.st_ino, now.st_mode, now.st_dev) != (
                before.st_ino,
                before.st_mode,
                before.st_dev,
            ) or is_placeholder(path, now):
                return False
        try:
            return all(os.readlink(path) == text for path, text in self._followed.items())
        except OSError:
            return False

    def stat(self, path: bytes) -> os.stat_result | None:
        """Return what is at a path whose parent is resolved, or ``None`` for nothing.

        Raises:
            PolicyNotEnforceableError: The system does not say.
        """
        if path not in self.seen:
            status: os.stat_result | None = None
            try:
                status = os.lstat(path)
            except OSError as error:
                if error.errno not in _NOTHING:
                    raise PolicyNotEnforceableError(
                        f"a path of the sandbox policy: {os.strerror(error.errno or 0)}"
                    ) from error
            self.seen[path] = (
                None if status is not None and is_placeholder(path, status) else status
            )
        return self.seen[path]

    def is_folder(self, path: bytes) -> bool:
        """Return whether a resolved path is a folder."""
        status = self.stat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def identity(self, path: bytes) -> Identity:
        """Return which file a resolved path names; it must exist."""
        status = self.stat(path)
        if status is None:
            raise PolicyNotEnforceableError("a path of the sandbox policy has just vanished")
        return Identity(status.st_dev, status.st_ino)

    def resolve(self, path: bytes) -> Found:
        """Follow a path from the root.

        Raises:
            PolicyNotEnforceableError: Links in a circle, or the system does not say.
        """
        if self._is_plain(path):
            return Found(path, (), ())
        names = deque(path.split(b"/"))
        links: list[tuple[bytes, bytes]] = []
        at = b""
        while names:
            name = names.popleft()
            if name in (b"", b"."):
                continue
            if name == b"..":
                at = at[: at.rfind(b"/")] if at else at
                continue
            here = at + b"/" + name
            status = self.stat(here)
            if status is None:
                missing = tuple(left for left in (name, *names) if left not in (b"", b"."))
                if b".." in missing:
                    raise PolicyNotEnforceableError(
                        "a path of the sandbox policy climbs out of a folder that does not exist"
                    )
                return Found(at or b"/", missing, tuple(links))
            if not stat.S_ISLNK(status.st_mode):
                at = here
                continue
            if len(links) == _MAX_LINKS:
                raise PolicyNotEnforceableError("a path of the sandbox policy has a loop of links")
            text = self._read_link(here)
            links.append((here, text))
            names.extendleft(reversed(text.split(b"/")))
            if text.startswith(b"/"):
                at = b""
        return Found(at or b"/", (), tuple(links))

    def _is_plain(self, path: bytes) -> bool:
        """Whether a path exists and can be taken as it is: most can."""
        plain = self._plain.get(path)
        if plain is None:
            above, _, name = path.rpartition(b"/")
            plain = (
                name not in (b"", b".", b"..")
                and self._is_plain(above or b"/")
                and (status := self.stat(path)) is not None
                and not stat.S_ISLNK(status.st_mode)
            )
            self._plain[path] = plain
        return plain

    def _read_link(self, path: bytes) -> bytes:
        try:
            self._followed[path] = os.readlink(path)
            return self._followed[path]
        except OSError as error:
            raise PolicyNotEnforceableError(
                "a path of the sandbox policy changes while it is looked at"
            ) from error


def is_own(path: bytes) -> bool:
    """Whether every sandbox has its own of this; what lies there outside is never shown.

    But for what is below ``/dev``.
    """
    return path in (b"/proc", b"/dev") or path.startswith(b"/proc/")
