"""Programs that the server runs outside: found once, and held, whatever comes to their places.

Somebody inside a sandbox may write the folder that a program was found in. So a program is opened
when it is found and executed through that descriptor: another file under its name, or a link to
one, is nothing to the server. Its contents are kept from being written inside by the plan of each
sandbox. Where the file has other names, which a plan cannot know, they are compared before each
use.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import Final

from .errors import SandboxUnavailableError

__all__ = ["Held", "hold"]

_lock: Final = threading.Lock()
_held: Final[dict[bytes, Held]] = {}
"""A few for the process: bubblewrap, the file helper, interpreters. Never closed."""


@dataclass(slots=True)
class Held:
    """A program, or a file of one.

    Attributes:
        path: Where it was found.
        executable: What to execute, or to load; works for children of this process.
    """

    path: bytes
    executable: bytes
    _digest: bytes = b""
    _changed: int = 0

    def require_unchanged(self) -> None:
        """Check that no program has written into the file through another name of it.

        Raises:
            SandboxUnavailableError: Somebody has; it stays so until the server is started anew.
        """
        if not self._digest:
            return
        # Nobody can set this time back. It also changes when names come and go.
        changed = os.stat(self.executable).st_ctime_ns
        if changed != self._changed:
            if _digest(self.executable) != self._digest:
                raise SandboxUnavailableError(
                    f"{os.fsdecode(self.path)} has been changed, by another name that it has, "
                    "since the server was started: it is not run any more"
                )
            self._changed = changed


def hold(path: bytes) -> Held:
    """Hold a program, unless it is held already. May block.

    Args:
        path: Absolute; links are followed now.

    Raises:
        OSError: It is not there, or cannot be read and has other names.
    """
    if sys.platform != "linux":
        return Held(path, path)
    with _lock:
        if path not in _held:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            # Not /proc/self: the child executes it after it has closed its own descriptors. The
            # number is that of whoever mounted /proc, who may count processes differently.
            this = os.readlink("/proc/self")
            held = Held(path, os.fsencode(f"/proc/{this}/fd/{descriptor}"))
            status = os.fstat(descriptor)
            if status.st_nlink > 1:
                held._changed = status.st_ctime_ns
                held._digest = _digest(held.executable)
            _held[path] = held
        return _held[path]


def _digest(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
