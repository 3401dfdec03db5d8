"""Journal of the placeholders that a server has put on the disk, for the next one to remove.

A server that is killed leaves its placeholders behind. Their paths are written down before they
are made, in a file of the user's that is locked as long as its server lives. Only what is noted
there, still looks like a placeholder, is empty and not in use is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

__all__ = ["Journal", "leftovers", "sweep"]

_FILES_MAX: Final = 1000
_FILE_BYTES_MAX: Final = 1024 * 1024
"""What is read of one; servers keep theirs below."""
_COMPACT_BYTES: Final = 64 * 1024


def _folder() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "exec-server", "marks")


class Journal:
    """The notes of this process. Methods are called one at a time; none of them raises.

    Where there is no place for notes, there are none: then a placeholder that is left behind is
    removed by the next sandbox that needs the same one.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._bytes = 0
        self._broken = False

    def note(self, path: bytes, held: Callable[[], Iterable[bytes]]) -> None:
        """Write a placeholder down, before it is made.

        Args:
            path: Of the placeholder.
            held: All placeholders there are; they are written anew when the notes are too many.
        """
        with contextlib.suppress(OSError):
            if self._file is None and not self._broken:
                self._broken = True  # until it has gone well
                self._file = _create()
                self._broken = False
            if self._file is not None:
                if self._bytes > _COMPACT_BYTES:
                    self.forget()
                    path = b"\0".join([*held(), path])
                self._bytes += os.write(self._file, path + b"\0")

    def forget(self) -> None:
        """Forget all notes: there are no placeholders, or they are noted anew."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
                self._bytes = 0


def _create() -> int:
    folder = _folder()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{os.getpid()}-{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def leftovers() -> list[str]:
    """Return files with notes of other servers, of whom some may live."""
    try:
        with os.scandir(_folder()) as entries:
            return [entry.path for entry in islice(entries, _FILES_MAX)]
    except OSError:
        return []


def sweep(files: Iterable[str], wait: float = 0.0) -> None:
    """Take away, in a thread, what servers have left behind that were killed.

    Args:
        files: From ``leftovers``.
        wait: Seconds until it is done, at most.
    """
    # Not waited for without end: a file system that hangs shall not keep a server from starting
    # or ending.
    thread = threading.Thread(target=_sweep, args=(list(files),), name="marks", daemon=True)
    thread.start()
    thread.join(wait)


def _sweep(files: Iterable[str]) -> None:
    from .placeholders import take_away

    for path in files:
        with contextlib.suppress(OSError):
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags)
            with open(descriptor, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for placeholder in file.read(_FILE_BYTES_MAX).split(b"\0"):
                    if placeholder.startswith(b"/"):
                        take_away(placeholder)
                os.unlink(path)
