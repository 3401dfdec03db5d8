"""Whether processes live, and waiting for the kernel to say that they do not."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["alive", "descendants", "inotify_watches", "resident_bytes", "wait_gone"]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def wait_gone(pid: int, timeout: float = 10.0) -> bool:
    """Wait until a process has ended. Returns whether it has, in ``timeout`` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)


def descendants(root: int) -> set[int]:
    """Return the pids below ``root``, and ``root``."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo += children.get(pid, [])
    return found


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes together; one that is gone has none."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def inotify_watches() -> int:
    """Return how many places the kernel watches for this process."""
    descriptions = Path("/proc/self/fdinfo")
    count = 0
    for name in os.listdir(descriptions):
        with suppress(FileNotFoundError):  # another thread has closed it since
            count += (descriptions / name).read_text().count("inotify wd:")
    return count
