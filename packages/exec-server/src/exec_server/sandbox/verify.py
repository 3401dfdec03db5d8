"""Comparing a sandbox that has been set up, and runs nothing yet, with its plan.

bubblewrap is given paths, and a path may lead elsewhere by the time it is mounted: a folder
that was planned can have been replaced by a link to another. So the result is examined from
outside: each planned mount must be the one that is seen at exactly its path, with the
planned rights, and what is mounted must be the very file or folder that was planned.
Nothing that is found wrong is repaired; the sandbox is given up.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Final

from .arguments import read_only_paths
from .errors import PolicyNotEnforceableError, SandboxUnavailableError
from .mounter_main import SETUP
from .placeholders import is_placeholder
from .plan import Base, Kind, Mount, Plan

__all__ = ["Mounted", "missing", "parse_mounts", "verify"]

_NAMESPACES: Final = ("pid", "mnt", "user", "ipc")
_OWN: Final = (b"/proc/", b"/dev/")
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of ``/proc/PID/mountinfo``.

    Attributes:
        receives: What is mounted elsewhere appears here, or the other way round.
    """

    point: bytes
    flags: frozenset[bytes]
    kind: bytes
    receives: bool = False


def parse_mounts(text: bytes) -> dict[int, Mounted]:
    """Return mounts by number."""
    found: dict[int, Mounted] = {}
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        point = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
        receives = any(tag.startswith((b"shared:", b"master:")) for tag in fields[6:])
        found[int(fields[0])] = Mounted(
            point, frozenset(fields[5].split(b",")), after.split(b" ")[0], receives
        )
    return found


def verify(plan: Plan, pid: int) -> None:
    """Raise unless the sandbox around a process is the planned one.

    Args:
        plan: What it was made from.
        pid: Its first process, which has to be alive and waiting.

    Raises:
        PolicyNotEnforceableError: A path changed while the sandbox was set up.
        SandboxUnavailableError: It was not set up as the arguments said.
    """
    try:
        _verify_process(plan, pid)
        _Inspection(pid).check(plan)
    except OSError as error:
        raise SandboxUnavailableError(
            f"cannot examine a sandbox from outside: {os.strerror(error.errno or 0)}"
        ) from error


def missing(plan: Plan, pid: int) -> list[Mount]:
    """Return what would keep something from being seen or written, and does not lie there.

    Args:
        plan: Of this moment, while something runs inside.
        pid: The first process inside.

    Raises:
        OSError: It has ended.
    """
    inspection = _Inspection(pid)
    found: list[Mount] = []
    for mount in plan.mounts:
        if mount.kind in (Kind.WRITE, Kind.LINK) or inspection.holds(mount):
            continue
        hidden = found[-1] if found and found[-1].kind is Kind.HIDE_FOLDER else None
        if hidden is None or not mount.path.startswith(hidden.path + b"/"):
            # What was shown in a hidden folder cannot be reached any more.
            found.append(replace(mount, opened=False))
    return found


def _verify_process(plan: Plan, pid: int) -> None:
    names = [*_NAMESPACES, *(["net"] if plan.network == "restricted" else [])]
    for name in names:
        if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}"):
            raise SandboxUnavailableError(f"bubblewrap has not made a {name} namespace")
    with open(f"/proc/{pid}/status", "rb") as file:
        status = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    if status[b"NoNewPrivs"].strip() != b"1":
        raise SandboxUnavailableError("bubblewrap has not ruled out new privileges")
    for capabilities in (b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb"):
        if int(status[capabilities], 16) != 0:
            raise SandboxUnavailableError("bubblewrap has not dropped all capabilities")


class _Inspection:
    """Looks into the sandbox of one process."""

    def __init__(self, pid: int) -> None:
        self._root = b"/proc/%d/root" % pid
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            self._mounts = parse_mounts(file.read())

    def check(self, plan: Plan) -> None:
        base = self._at(b"/")[0]
        planned = {
            Base.EMPTY: base.kind == b"tmpfs",
            Base.READABLE: b"ro" in base.flags,
            Base.WRITABLE: b"ro" not in base.flags or base.kind != b"tmpfs",
        }
        self._require(planned[plan.base], b"/")
        self._require(self._at(b"/proc")[0].kind == b"proc", b"/proc")
        self._require(self._at(b"/dev")[0].kind == b"tmpfs", b"/dev")
        for path in read_only_paths(plan):
            self._require(b"ro" in self._at(path)[0].flags, path)
        left = any(m.point.startswith(SETUP) for m in self._mounts.values())
        self._require(not left, SETUP)
        self._check_mounts(plan)
        self._check_others(plan)

    def _check_others(self, plan: Plan) -> None:
        """Find what was mounted outside since bubblewrap began: it came with its own rights."""
        if any(mount.receives for mount in self._mounts.values()):
            raise SandboxUnavailableError(
                "what is mounted later outside would appear in a sandbox, and cannot be kept out"
            )
        planned = {mount.path: mount.kind for mount in plan.mounts}
        for mounted in self._mounts.values():
            point = mounted.point
            if b"ro" in mounted.flags or point == b"/" or (point + b"/").startswith(_OWN):
                continue
            above = point
            while above != b"/" and above not in planned:
                above = above[: above.rfind(b"/")] or b"/"
            if above == b"/" and plan.base is Base.WRITABLE:
                continue
            if planned.get(above) not in (Kind.WRITE, Kind.PIN):
                self._require(not self._is_seen(mounted), point)

    def _is_seen(self, mounted: Mounted) -> bool:
        """Whether nothing lies on a mount, or on a folder above it."""
        try:
            return self._at(mounted.point)[0] is mounted
        except (PolicyNotEnforceableError, OSError):
            return False

    def _check_mounts(self, plan: Plan) -> None:
        for mount in plan.mounts:
            self._check_mount(mount)

    def holds(self, mount: Mount) -> bool:
        """Whether a mount is there, or what it is about cannot be seen."""
        try:
            self._check_mount(mount)
        except PolicyNotEnforceableError:
            return False
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return mount.kind not in (Kind.BLOCK_FOLDER, Kind.BLOCK_FILE)
        return True

    def _check_mount(self, mount: Mount) -> None:
        if mount.kind is Kind.LINK:
            return  # in a file system of the sandbox's own, where nobody else can reach it
        found, status = self._at(mount.path)
        read_only = b"ro" in found.flags
        if mount.kind in (Kind.READ, Kind.WRITE, Kind.PIN):
            assert mount.source is not None  # noqa: S101 - for the type checker
            same = (status.st_dev, status.st_ino) == (mount.source.device, mount.source.inode)
            self._require(same and (read_only or mount.kind is not Kind.READ), mount.path)
            return
        if mount.kind in (Kind.BLOCK_FOLDER, Kind.BLOCK_FILE):
            placeholder = is_placeholder(self._root + mount.path, status)
            self._require(read_only and placeholder, mount.path)
            return
        if mount.kind is Kind.HIDE_LINK:
            hidden = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o222
            self._require(read_only and found.kind == b"tmpfs" and hidden, mount.path)
            return
        is_kind = stat.S_ISDIR if mount.kind is Kind.HIDE_FOLDER else stat.S_ISREG
        hidden = is_kind(status.st_mode) and not status.st_mode & 0o666
        self._require(read_only and found.kind == b"tmpfs" and hidden, mount.path)

    def _at(self, path: bytes) -> tuple[Mounted, os.stat_result]:
        """Return the mount whose root is seen at a path, and what is there.

        A link on the way would lead out of the sandbox, or to another place in it. Both end
        at a mount that is not at this path.
        """
        descriptor = os.open(self._root + path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
                number = next(
                    int(line.split()[1])
                    for line in file.read().splitlines()
                    if line.startswith(b"mnt_id:")
                )
            found = self._mounts.get(number)
            self._require(found is not None and found.point == path, path)
            assert found is not None  # noqa: S101 - for the type checker
            return found, os.fstat(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _require(condition: bool, path: bytes) -> None:
        if not condition:
            raise PolicyNotEnforceableError(
                "a path of the sandbox policy changed while the sandbox was set up: "
                f"{os.fsdecode(path)}"
            )
