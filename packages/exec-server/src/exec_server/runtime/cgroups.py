"""Control groups, version 2, of which the kernel kills all members in one step.

A group is a folder. A process begins in that of its parent and cannot get out of those below which
it may write; so everything that a member starts is a member, whatever it does to hide. Light: the
supervisor loads it.
"""

from __future__ import annotations

import os
import time

__all__ = ["Group", "own_group", "remove_left"]

_PREFIX = "exec-server-"
_LEFT_MAX = 1000
"""Groups of others that are looked at."""
_REMOVALS = 100
_REMOVAL_SECONDS = 0.01


class Group:
    """A group that this program may have made.

    Attributes:
        path: Of its folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def make(cls, parent: Group, name: str) -> Group | None:
        """Make a group below another; ``None`` where that is not possible."""
        group = cls(os.path.join(parent.path, name))
        try:
            os.mkdir(group.path)
        except OSError:
            return None
        if os.access(os.path.join(group.path, "cgroup.kill"), os.W_OK):  # Linux 5.14
            return group
        group.remove()
        return None

    @classmethod
    def make_for(cls, parent: Group, pid: int) -> Group | None:
        """Make the group of a server, named after the process that takes it away again."""
        return cls.make(parent, f"{_PREFIX}{pid}-{os.urandom(4).hex()}")

    def _write(self, name: str, text: bytes) -> bool:
        try:
            descriptor = os.open(os.path.join(self.path, name), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, text)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def add(self, pid: int) -> bool:
        """Move a process in. Takes ten milliseconds on a machine where nobody has just done so.

        What it has started before stays where it is.

        Returns:
            Whether it is in; not if it has ended, for example.
        """
        return self._write("cgroup.procs", b"%d" % pid)

    def kill(self) -> bool:
        """Kill all members, and those of the groups below. Returns whether that was possible."""
        return self._write("cgroup.kill", b"1")

    def remove(self) -> bool:
        """Take it away, with those below. Returns whether it is gone: nobody may be in it."""
        try:
            with os.scandir(self.path) as entries:
                below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            for path in below:
                Group(path).remove()
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def remove_soon(self) -> bool:
        """Take it away when those that were killed are gone; waits for a second at most."""
        for _ in range(_REMOVALS):
            if self.remove():
                return True
            time.sleep(_REMOVAL_SECONDS)
        return self.remove()


def own_group() -> Group | None:
    """Return the group of this process, wherever version 2 is mounted; ``None`` without one.

    Beside groups of version 1 it has no limits to set, and kills all the same.
    """
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            own = next((line[3:-1] for line in file if line.startswith("0::")), None)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file if " - cgroup2 " in line]
    except OSError:
        return None
    if own is None or own.startswith("/.."):  # outside of what is seen here
        return None
    for fields in reversed(mounts):  # what was mounted last lies on top
        root, place = fields[3], fields[4]
        if root != "/" and own != root and not own.startswith(root + "/"):
            continue
        below = own if root == "/" else own[len(root) :]
        path = os.path.join(place, below.lstrip("/")).rstrip("/")
        if os.access(os.path.join(path, "cgroup.procs"), os.W_OK):
            return Group(path)
    return None


def remove_left(parent: Group) -> None:
    """Take away groups of servers that were killed together with their supervisors, if empty."""
    try:
        names = os.listdir(parent.path)[:_LEFT_MAX]
    except OSError:
        return
    for name in names:
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and not os.path.exists(f"/proc/{pid}"):
            Group(os.path.join(parent.path, name)).remove()
