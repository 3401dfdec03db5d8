"""A server with a disk that is soon full: a tmpfs in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from .server import program

__all__ = ["small_disk_command"]

_CANNOT: Final = 77
_IN_A_SMALL_DISK: Final = """
import ctypes, os, sys
directory, size, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
if libc.unshare(0x10000000 | 0x00020000):  # CLONE_NEWUSER | CLONE_NEWNS
    sys.exit(77)
maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
for name, text in maps.items():
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
if libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, b"size=" + size.encode()):
    sys.exit(77)
os.execv(command[0], command)
"""


def small_disk_command(directory: str, size: str) -> list[str]:
    """Return the ``command`` of a ``ServerProcess`` that sees a small disk at a directory.

    Args:
        directory: An empty one. Outside of the server it stays as it is.
        size: Of the disk, as ``mount`` has it: ``"4m"``.

    Skips the test where the kernel lets this user mount nothing.
    """
    wrapped = [sys.executable, "-c", _IN_A_SMALL_DISK, directory, size]
    if subprocess.run([*wrapped, "/bin/true"], check=False).returncode == _CANNOT:
        pytest.skip("the kernel lets this user mount no file system of its own")
    return [*wrapped, program("exec-server"), "--exit-on-stdin-close"]
