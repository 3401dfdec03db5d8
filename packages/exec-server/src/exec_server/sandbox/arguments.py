"""A plan as options of bubblewrap. Pure, but for the names of a few folders of the system.

What is mounted later lies on top. So the whole comes first, then devices and processes, then
the plan's mounts from the outside in. A mask is made read-only after the mount points below
it exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from .mounter_main import OUTSIDE, SETUP
from .plan import Base, Kind, Mount, Plan

__all__ = ["PROC_READ_ONLY", "Source", "by_path", "options", "read_only_paths"]

PROC_READ_ONLY: Final = (
    b"/proc/sys",
    b"/proc/sysrq-trigger",
    b"/proc/acpi",
    b"/proc/asound",
    b"/proc/bus",
    b"/proc/driver",
    b"/proc/dynamic_debug",
    b"/proc/fs",
    b"/proc/irq",
    b"/proc/mtrr",
    b"/proc/pressure",
    b"/proc/scsi",
    b"/proc/tty",
)
"""The kernel's own settings. They belong to root by number, not by capability: without this
a sandbox of a server that runs as root could write them."""

_SYSTEM: Final = b"/sys"
_SHARED_MEMORY: Final = b"/dev/shm"
_TEMPORARY: Final = b"/tmp"


def read_only_paths(plan: Plan) -> list[bytes]:
    """Return the places that are kept from being written whatever the rules say."""
    paths = [path for path in PROC_READ_ONLY if os.path.exists(path)]
    if plan.base is Base.WRITABLE and os.path.isdir(_SYSTEM):
        paths.append(_SYSTEM)
    return paths


Source = Callable[[Mount], tuple[bytes, bytes]]
"""For what is mounted: what comes after ``--bind`` or ``--ro-bind``, and what names it."""


def by_path(mount: Mount) -> tuple[bytes, bytes]:
    """Name what is mounted by its path."""
    return b"", mount.path


def options(
    plan: Plan,
    nothing: Callable[[], int],
    *,
    source: Source = by_path,
    own_session: bool = True,
    mounted_later: bool = False,
) -> list[bytes]:
    """Return what to tell bubblewrap, without the command and without descriptors of ours.

    Args:
        plan: With a confinement other than ``NONE``.
        nothing: Opens an empty file and returns its number; each is read once.
        source: Names what is mounted.
        own_session: Take the controlling terminal away.
        mounted_later: Mount nothing of the plan, but what ``mounter`` mounts it from.
    """
    found = [b"--die-with-parent", b"--unshare-pid"]
    if own_session:
        found.append(b"--new-session")
    if plan.network == "restricted":
        found.append(b"--unshare-net")
    found += [b"--unshare-user", b"--unshare-ipc", b"--cap-drop", b"ALL", *_base(plan.base)]
    for path in read_only_paths(plan):
        found += [b"--ro-bind", path, path]
    if mounted_later:
        return [*found, b"--tmpfs", SETUP, b"--bind", b"/", OUTSIDE]
    return [*found, *_mounts(plan, nothing, source)]


def _base(base: Base) -> list[bytes]:
    own = [b"--dev", b"/dev", b"--proc", b"/proc"]
    if base is Base.EMPTY:
        return [*own, b"--perms", b"1777", b"--dir", _TEMPORARY]
    if base is Base.READABLE:
        return [b"--ro-bind", b"/", b"/", *own]
    return [b"--bind", b"/", b"/", *own, b"--bind-try", _SHARED_MEMORY, _SHARED_MEMORY]


def _mounts(plan: Plan, nothing: Callable[[], int], source: Source) -> Iterator[bytes]:
    open_masks: list[bytes] = []
    for mount in plan.mounts:
        while open_masks and not mount.path.startswith(open_masks[-1] + b"/"):
            yield from (b"--remount-ro", open_masks.pop())
        if mount.kind is Kind.HIDE_FOLDER:
            open_masks.append(mount.path)
        yield from _mount(mount, nothing, source)
    while open_masks:
        yield from (b"--remount-ro", open_masks.pop())


def _mount(mount: Mount, nothing: Callable[[], int], source: Source) -> list[bytes]:
    path = mount.path
    if mount.kind in (Kind.WRITE, Kind.PIN):
        how, what = source(mount)
        return [b"--bind" + how, what, path]
    if mount.kind in (Kind.READ, Kind.BLOCK_FOLDER, Kind.BLOCK_FILE):
        # What is put there to be covered can as well cover itself.
        how, what = source(mount)
        return [b"--ro-bind" + how, what, path]
    if mount.kind is Kind.LINK:
        return [b"--symlink", mount.target, path]
    if mount.kind is Kind.HIDE_FOLDER:
        return [b"--perms", b"111" if mount.opened else b"000", b"--tmpfs", path]
    return [b"--perms", b"000", b"--ro-bind-data", b"%d" % nothing(), path]
